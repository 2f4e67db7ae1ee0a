//! Workflow commands: what GitHub shows as annotations on the lines of a pull request.
//!
//! Of a step it shows ten errors and ten warnings. What is beyond that goes into the log of the step as plain lines, with
//! their places, which the log leaves out of commands.

use form_usage_events::plain_text::is_unprintable;
use form_usage_events::validate::Severity;

use super::remark::Remark;
use crate::output::printable;

/// So many errors, and so many warnings, of one step become annotations.
const ANNOTATIONS: u64 = 10;

/// Writes remarks as commands.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    /// Warnings and errors so far.
    written: [u64; 2],
}

impl Commands {
    /// The line for a remark.
    pub(crate) fn line(&mut self, remark: &Remark<'_>) -> String {
        let [warnings, errors] = &mut self.written;
        let count = if remark.severity == Severity::Error { errors } else { warnings };
        *count += 1;
        if *count > ANNOTATIONS {
            // A line that begins with `::` would be a command.
            return printable_line(&remark.plain());
        }
        let mut properties = Vec::new();
        if remark.file != "<stdin>" {
            properties.push(format!("file={}", property(remark.file.strip_prefix("./").unwrap_or(remark.file))));
            if remark.line > 0 {
                properties.push(format!("line={}", remark.line));
            }
            if remark.line > 0 && remark.column > 0 {
                properties.push(format!("col={}", remark.column));
                if remark.width > 0 {
                    properties.push(format!("endColumn={}", remark.column + remark.width));
                }
            }
        }
        properties.push(format!("title={}", property(remark.rule)));
        let mut words = remark.message.to_owned();
        if let Some(help) = remark.help {
            words += &format!("\nhelp: {help}");
        }
        format!("::{} {}::{}\n", remark.severity, properties.join(","), data(&words))
    }

    /// The last line, where there are more than annotations can show.
    pub(crate) fn end(&self) -> String {
        let more: u64 = self.written.iter().map(|count| count.saturating_sub(ANNOTATIONS)).sum();
        match more {
            0 => String::new(),
            more => format!("::notice title=formusage::{more} more stand in the log of this step\n"),
        }
    }
}

/// A line of the log that is no command, whatever is in it.
fn printable_line(text: &str) -> String {
    format!("- {}\n", printable(text).replace("##[", "##\u{fffd}["))
}

/// Text behind the last `::`.
fn data(text: &str) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A").replace("##[", "##%5B");
    printable(&text).into_owned()
}

/// The value of a property. Control characters in it stay what they are to whoever decodes it, so that a file with one
/// in its name is still the one that is named.
fn property(text: &str) -> String {
    let mut value = String::new();
    for char in text.chars() {
        match char {
            '%' | ':' | ',' => value += &format!("%{:02X}", u32::from(char)),
            char if is_unprintable(char) => {
                char.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| value += &format!("%{byte:02X}"));
            }
            char => value.push(char),
        }
    }
    value.replace("##[", "##%5B")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remark<'a>(file: &'a str, message: &'a str) -> Remark<'a> {
        Remark {
            rule: "wrong-type",
            severity: Severity::Error,
            file,
            line: 3,
            column: 7,
            width: 4,
            pointer: "/a",
            message,
            help: None,
            text: "",
        }
    }

    #[test]
    fn what_would_end_a_command_or_a_property_is_escaped() {
        let mut commands = Commands::default();
        assert_eq!(
            commands.line(&remark("./a,b:c%.json", "100 %,\r\n::error::x")),
            "::error file=a%2Cb%3Ac%25.json,line=3,col=7,endColumn=11,title=wrong-type::100 %25,%0D%0A::error::x\n"
        );
        assert_eq!(
            commands.line(&Remark { help: Some("fix it"), line: 0, ..remark("<stdin>", "x") }),
            "::error title=wrong-type::x%0Ahelp: fix it\n"
        );
    }

    #[test]
    fn a_name_is_no_command_and_moves_no_cursor() {
        let mut commands = Commands::default();
        let name = "::error::x\n::stop-commands::y\x1b[2J";
        let lines: String = (0..12).map(|_| commands.line(&remark(name, "\x1b]0;x\x07"))).collect();
        assert!(lines.starts_with("::error file=%3A%3Aerror%3A%3Ax%0A%3A%3Astop-commands%3A%3Ay%1B[2J,"), "{lines}");
        assert!(!lines.contains(|char: char| char.is_control() && char != '\n'), "{lines}");
        assert_eq!(lines.lines().filter(|line| line.trim_start().starts_with("::")).count(), 10);
        assert_eq!(lines.lines().count(), 12);
    }

    #[test]
    fn what_is_beyond_the_annotations_is_in_the_log() {
        let mut commands = Commands::default();
        let lines: String = (0..12).map(|_| commands.line(&remark("a", "x"))).collect();
        assert_eq!(lines.matches("::error ").count(), 10);
        assert!(lines.ends_with("\n- a:3:7: error[wrong-type]: x\n"), "{lines}");
        assert!(commands.line(&Remark { severity: Severity::Warning, ..remark("a", "x") }).starts_with("::warning "));
        assert_eq!(commands.end(), "::notice title=formusage::2 more stand in the log of this step\n");
    }
}
