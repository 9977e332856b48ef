//! An error and its causes as one line.

use std::error::Error;

/// `error` and what led to it, from the outermost to the innermost; a cause that was quoted already is not repeated.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    fn chain(texts: &[&'static str]) -> Link {
        let mut links = texts.iter().rev().fold(None, |source, text| Some(Box::new(Link { text, source })));
        *links.take().unwrap()
    }

    #[test]
    fn each_cause_is_said_once() {
        assert_eq!(
            with_causes(&chain(&["creating", "writing x", "no space"])),
            "creating: writing x: no space"
        );
        assert_eq!(with_causes(&chain(&["exec: no space", "no space"])), "exec: no space");
        assert_eq!(with_causes(&chain(&["a (no space) b", "no space", "disk"])), "a (no space) b: disk");
    }
}
