//! What was found, and how it is said: as text, as JSON, in the log.

use std::fmt;

use serde::Serialize;

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, in a word or two.
    pub name: String,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be; in a few words.
    #[serde(rename = "ok")]
    Good { seen: String },
    /// It cannot be seen from here, as in most containers; that is no fault. Why not, in a few words.
    NotVisible { reason: String },
    /// The relay runs; slower, or with less than it is configured for, than it would otherwise.
    Advice(Finding),
    /// The relay cannot run.
    Wrong(Finding),
}

/// Something that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub what: String,
    pub why: String,
    /// What to do about it.
    pub remedy: String,
}

impl Report {
    /// The relay cannot run here.
    pub fn is_wrong(&self) -> bool {
        self.count(|outcome| matches!(outcome, Outcome::Wrong(_))) > 0
    }

    fn count(&self, is_meant: impl Fn(&Outcome) -> bool) -> usize {
        let outcomes = self.checks.iter().map(|check| &check.outcome);
        outcomes.filter(|outcome| is_meant(outcome)).count()
    }

    /// `{"checks": [{"name", "outcome": "ok" | "not_visible" | "advice" | "wrong", …}]}`: with `seen` if it is ok, with
    /// `reason` if it is not visible, otherwise with `what`, `why` and `remedy`.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings are JSON")
    }
}

impl Check {
    pub(super) fn good(name: impl Into<String>, seen: impl Into<String>) -> Self {
        let seen = seen.into();
        Self {
            name: name.into(),
            outcome: Outcome::Good { seen },
        }
    }

    pub(super) fn not_visible(name: impl Into<String>, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self {
            name: name.into(),
            outcome: Outcome::NotVisible { reason },
        }
    }

    pub(super) fn advice(name: impl Into<String>, finding: Finding) -> Self {
        Self {
            name: name.into(),
            outcome: Outcome::Advice(finding),
        }
    }

    pub(super) fn wrong(name: impl Into<String>, finding: Finding) -> Self {
        Self {
            name: name.into(),
            outcome: Outcome::Wrong(finding),
        }
    }

    /// Writes it to the log.
    pub fn log(&self) {
        let name = &self.name;
        match &self.outcome {
            Outcome::Good { seen } => tracing::debug!("{name}: {seen}"),
            Outcome::NotVisible { reason } => tracing::debug!("{name}: not visible here: {reason}"),
            Outcome::Advice(finding) => tracing::warn!("{name}: {finding}"),
            Outcome::Wrong(finding) => tracing::error!("{name}: {finding}"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}). {}", self.what, self.why, self.remedy)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { name, outcome } in &self.checks {
            let (word, finding) = match outcome {
                Outcome::Good { seen } => {
                    writeln!(f, "ok       {name}: {seen}")?;
                    continue;
                }
                Outcome::NotVisible { reason } => {
                    writeln!(f, "-        {name}: not visible here: {reason}")?;
                    continue;
                }
                Outcome::Advice(finding) => ("advice", finding),
                Outcome::Wrong(finding) => ("wrong", finding),
            };
            writeln!(f, "{word:<9}{name}: {}", finding.what)?;
            writeln!(f, "         why: {}", finding.why)?;
            writeln!(f, "         do:  {}", finding.remedy)?;
        }
        let advice = self.count(|outcome| matches!(outcome, Outcome::Advice(_)));
        match (self.is_wrong(), advice) {
            (true, _) => writeln!(f, "The relay cannot run here."),
            (false, 0) => writeln!(f, "The relay can run here."),
            (false, 1) => writeln!(f, "The relay can run here. There is one piece of advice."),
            (false, _) => writeln!(
                f,
                "The relay can run here. There are {advice} pieces of advice."
            ),
        }
    }
}
