//! Scripts as lists of simple commands.

/// What comes after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// `;` or a new line: the next, in any case.
    Next,
    /// `&&`: the next on success.
    OnSuccess,
    /// `||`: the next on failure.
    OnFailure,
    /// `&`: the next at once.
    Background,
}

/// A command and what follows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) words: Vec<String>,
    pub(super) then: Then,
}

/// A script that this shell does not understand.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("{0:?} is more than this shell can do: it knows words, quotes, ;, &, && and ||")]
    Unsupported(char),
    #[error("the script ends inside quotes or after a backslash")]
    Unfinished,
    #[error("there is no command before {0:?}")]
    NoCommand(char),
}

/// Splits a script.
pub(super) fn parse(script: &str) -> Result<Vec<Step>, Error> {
    let mut parser = Parser::default();
    let mut characters = script.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' => parser.end_word(),
            '\'' => {
                let word = parser.word();
                loop {
                    match characters.next().ok_or(Error::Unfinished)? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => parser.double_quoted(&mut characters)?,
            '\\' => parser.word().push(characters.next().ok_or(Error::Unfinished)?),
            '#' if parser.word.is_none() => while characters.next_if(|next| *next != '\n').is_some() {},
            '\n' => parser.end_line(),
            ';' => parser.end_step(Then::Next, ';')?,
            '&' if characters.next_if_eq(&'&').is_some() => parser.end_step(Then::OnSuccess, '&')?,
            '&' => parser.end_step(Then::Background, '&')?,
            '|' if characters.next_if_eq(&'|').is_some() => parser.end_step(Then::OnFailure, '|')?,
            '|' | '<' | '>' | '(' | ')' | '$' | '`' | '*' | '?' | '[' => {
                return Err(Error::Unsupported(character));
            }
            other => parser.word().push(other),
        }
    }
    parser.end_line();
    Ok(parser.steps)
}

#[derive(Default)]
struct Parser {
    steps: Vec<Step>,
    words: Vec<String>,
    word: Option<String>,
}

impl Parser {
    fn word(&mut self) -> &mut String {
        self.word.get_or_insert_default()
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_line(&mut self) {
        self.end_word();
        if !self.words.is_empty() {
            self.steps.push(Step { words: std::mem::take(&mut self.words), then: Then::Next });
        }
    }

    fn end_step(&mut self, then: Then, character: char) -> Result<(), Error> {
        self.end_word();
        if self.words.is_empty() {
            return Err(Error::NoCommand(character));
        }
        self.steps.push(Step { words: std::mem::take(&mut self.words), then });
        Ok(())
    }

    fn double_quoted(&mut self, characters: &mut impl Iterator<Item = char>) -> Result<(), Error> {
        let word = self.word();
        loop {
            match characters.next().ok_or(Error::Unfinished)? {
                '"' => return Ok(()),
                expansion @ ('$' | '`') => return Err(Error::Unsupported(expansion)),
                '\\' => match characters.next().ok_or(Error::Unfinished)? {
                    escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                    other => word.extend(['\\', other]),
                },
                other => word.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(script: &str) -> Vec<(String, Then)> {
        parse(script).unwrap().into_iter().map(|step| (step.words.join("|"), step.then)).collect()
    }

    #[test]
    fn reads_the_lines_that_hosts_send() {
        let script = "/bin/vsockexec -e 109 /bin/gcs -v4 -log-format json & exec sh";
        let expected = [
            ("/bin/vsockexec|-e|109|/bin/gcs|-v4|-log-format|json".to_owned(), Then::Background),
            ("exec|sh".to_owned(), Then::Next),
        ];
        assert_eq!(steps(script), expected);
        assert_eq!(steps(&script.replace(" & ", "& ")), expected);
    }

    #[test]
    fn words_quotes_and_separators() {
        let script = "a 'b c'\\ d \"e \\\" f\" '' && b || c; d # e\n\n f";
        let expected = [
            ("a|b c d|e \" f|".to_owned(), Then::OnSuccess),
            ("b".to_owned(), Then::OnFailure),
            ("c".to_owned(), Then::Next),
            ("d".to_owned(), Then::Next),
            ("f".to_owned(), Then::Next),
        ];
        assert_eq!(steps(script), expected);
    }

    #[test]
    fn what_is_not_understood_is_refused_before_anything_runs() {
        for bad in
            ["a | b", "a > b", "echo $HOME", "echo \"$HOME\"", "a 'b", "a \\", "; a", "a & & b", "ls *"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
