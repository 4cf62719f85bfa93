//! The commands of the README's examples with curl, and what it says that they print.

use std::process::Command;

use super::Server;

#[derive(Debug)]
pub struct Example {
    command: String,
    pub printed: String,
}

/// Those that ask clients' port, and whose command is `wanted`, in order.
pub fn examples(server: &Server, wanted: impl Fn(&str) -> bool) -> Vec<Example> {
    let readme =
        include_str!("../../README.md").replace("127.0.0.1:7400", &server.websocket.to_string());
    let blocks = readme.split("```console\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split("```").next());
    let commands = blocks.flat_map(|block| block.split("$ curl ").skip(1).map(Example::read));
    let is_asked =
        |example: &Example| !example.command.contains("7402") && wanted(&example.command);
    commands.filter(is_asked).collect()
}

/// Whether this line is the one that is expected, where "…" stands for anything.
pub fn is_printed(line: &str, expected: &str) -> bool {
    let mut parts = expected.split('…');
    let first = parts.next().expect("there is always one");
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in between {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.ends_with(last)
}

impl Example {
    fn read(text: &str) -> Self {
        // A command goes on until its quotes are closed, and where a line ends with a backslash.
        let mut command = String::from("curl ");
        let mut printed = String::new();
        for line in text.lines() {
            let is_begun = command.ends_with('\n');
            let is_open = command.matches('\'').count() % 2 == 1 || command.ends_with("\\\n");
            let text = if !is_begun || is_open {
                &mut command
            } else {
                &mut printed
            };
            *text += line;
            text.push('\n');
        }
        Self { command, printed }
    }

    pub fn shell(&self, post: &str) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("exec {}", self.command)])
            .env("POST", post);
        shell
    }

    /// Runs it: what it prints is what the README says.
    pub fn check(&self) {
        let output = self.shell("").output().expect("curl runs");
        let printed = String::from_utf8(output.stdout).expect("text");
        assert!(output.status.success(), "{self:?}: {printed}");
        let lines: Vec<&str> = printed.lines().collect();
        let expected: Vec<&str> = self.printed.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{self:?}: {printed}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(is_printed(line, expected), "{line} is no {expected}");
        }
    }
}
