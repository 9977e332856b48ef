//! Measurements and what is told of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

/// Several measurements of one thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    /// The middle one, the mean of the two in the middle for an even number; the least; the greatest; how many.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let median = f64::midpoint(sorted[(count - 1) / 2], sorted[count / 2]);
        Some(Summary { median, min, max, count })
    }
}

/// What is told of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) count: usize,
}

/// All series by name; the names' endings are their units.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results(BTreeMap<&'static str, Series>);

impl Results {
    /// Adds a measurement.
    pub(crate) fn add(&mut self, name: &'static str, value: f64) {
        self.0.entry(name).or_default().0.push(value);
    }

    /// Adds a time in milliseconds.
    pub(crate) fn add_ms(&mut self, name: &'static str, time: Duration) {
        self.add(name, time.as_secs_f64() * 1000.0);
    }

    /// Those with at least one measurement, by name.
    pub(crate) fn summaries(&self) -> impl Iterator<Item = (&'static str, Summary)> {
        self.0.iter().filter_map(|(name, series)| Some((*name, series.summary()?)))
    }

    /// `{name: {median, min, max, n}, …}`
    pub(crate) fn to_json(&self) -> Value {
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        self.summaries()
            .map(|(name, Summary { median, min, max, count })| {
                let summary =
                    json!({"median": round(median), "min": round(min), "max": round(max), "n": count});
                (name.to_owned(), summary)
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let median = |values: &[f64]| Series(values.to_vec()).summary().map(|summary| summary.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
