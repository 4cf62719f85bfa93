//! A text as it was: put together from pages of its history.

use crate::codec::wire::{HistoryPage, Position};
use crate::text::{Operation, Text, TextError};

use super::requests::HistoryOptions;

/// A text at a revision, as far as its pages have come.
///
/// Ask for what [`next`](Self::next) says, and give the answer to [`take`](Self::take), until there is nothing more to ask
/// for.
#[derive(Debug, Clone)]
pub struct TextAt {
    document_id: String,
    /// Which revision is wanted. `None`: the newest, until a page says which that is.
    revision: Option<u64>,
    text: Text,
    /// Which revision the text has. `None`: no page has come.
    reached: Option<u64>,
}

/// Why there is no text as it was at a revision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextAtError {
    /// Only texts have a state that their operations make.
    #[error("the document is of the kind {kind:?}")]
    NoText {
        /// What it is.
        kind: String,
    },
    /// The document never had that revision, or has not got to it.
    #[error("the document has revisions {first} to {newest}, and not {revision}")]
    RevisionUnknown {
        /// The one that was asked for.
        revision: u64,
        /// The first that it had.
        first: u64,
        /// The newest that it has.
        newest: u64,
    },
    /// The relay has left something out.
    #[error("revision {found} came where {expected} was due")]
    Gap {
        /// The revision after the last.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// An operation does not fit the text before it.
    #[error(transparent)]
    Text(#[from] TextError),
}

impl TextAt {
    /// `revision` `None`: the newest; 0: the empty text that every document begins as, unless it was deleted and made again.
    pub fn new(document_id: &str, revision: Option<u64>) -> Self {
        Self {
            document_id: document_id.to_owned(),
            revision,
            text: Text::default(),
            reached: None,
        }
    }

    /// The page that is needed next. `None`: the text is there.
    pub fn next(&self) -> Option<HistoryOptions> {
        if self.reached.is_some() && self.reached == self.revision {
            return None;
        }
        Some(HistoryOptions {
            document_id: self.document_id.clone(),
            from_revision: self.reached.map_or(0, |reached| reached + 1),
            with_operations: true,
            ..HistoryOptions::default()
        })
    }

    /// Whether the document that a page is of, whichever page it is, is a text and has been at that revision.
    ///
    /// # Errors
    ///
    /// [`TextAtError::NoText`], [`TextAtError::RevisionUnknown`].
    pub fn check(&self, page: &HistoryPage) -> Result<(), TextAtError> {
        if page.kind != "text" {
            let kind = page.kind.clone();
            return Err(TextAtError::NoText { kind });
        }
        let newest = page
            .position
            .as_ref()
            .map_or(0, |Position { revision, .. }| *revision);
        let origin = page.first_revision.saturating_sub(1);
        match self.revision {
            Some(revision) if !(origin..=newest).contains(&revision) => {
                Err(TextAtError::RevisionUnknown {
                    revision,
                    first: page.first_revision,
                    newest,
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The answer to what `next` has said.
    ///
    /// # Errors
    ///
    /// If the text cannot be had from that; then neither from any later page.
    pub fn take(&mut self, page: &HistoryPage) -> Result<(), TextAtError> {
        self.check(page)?;
        let position = page.position.unwrap_or_default();
        let revision = *self.revision.get_or_insert(position.revision);
        let origin = page.first_revision.saturating_sub(1);
        let reached = self.reached.get_or_insert(origin);
        for entry in &page.entries {
            if entry.revision != *reached + 1 {
                if *reached == revision {
                    break;
                }
                return Err(TextAtError::Gap {
                    expected: *reached + 1,
                    found: entry.revision,
                });
            }
            for operation in &entry.operations {
                if *reached == revision {
                    break;
                }
                self.text.apply(&Operation::decode(operation)?)?;
                *reached += 1;
            }
        }
        if *reached < revision && page.next_revision != *reached + 1 {
            return Err(TextAtError::Gap {
                expected: *reached + 1,
                found: page.next_revision,
            });
        }
        Ok(())
    }

    /// The text at [`revision`](Self::revision), when there is nothing more to ask for.
    pub fn text(&self) -> &Text {
        &self.text
    }

    /// The same, and nothing else is left.
    pub fn into_text(self) -> Text {
        self.text
    }

    /// Which revision was asked for. `None`: the newest, and no page has come.
    pub fn revision(&self) -> Option<u64> {
        self.revision
    }
}

impl HistoryOptions {
    /// What [`revision_at`] is to be asked of: the entry that was the newest at that time.
    pub fn at_time(document_id: &str, time_ms: u64) -> Self {
        Self {
            document_id: document_id.to_owned(),
            newest_first: true,
            from_time_ms: time_ms,
            limit: 1,
            ..Self::default()
        }
    }
}

/// Which revision the document had at a time, from the answer to [`HistoryOptions::at_time`]. Where the first that is kept
/// came later, the revision before that one.
pub fn revision_at(page: &HistoryPage) -> u64 {
    match page.entries.first() {
        Some(newest) => (newest.revision.saturating_sub(1)).saturating_add(newest.count.into()),
        None => page.oldest_revision.saturating_sub(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::wire::HistoryEntry;

    /// Inserts of one character each, as entries of so many operations, from a revision on.
    fn page(first: u64, counts: &[u32], newest: u64) -> HistoryPage {
        let mut next = first;
        let entries = counts.iter().map(|count| {
            let revision = next;
            next += u64::from(*count);
            let operations = (revision..next).map(|revision| {
                let letter = char::from(b'a' + u8::try_from(revision - 1).expect("few"));
                Operation::splice(revision as usize - 1, 0, &letter.to_string())
                    .encode()
                    .into()
            });
            HistoryEntry {
                revision,
                count: *count,
                operations: operations.collect(),
                ..HistoryEntry::default()
            }
        });
        let entries = entries.collect();
        HistoryPage {
            kind: "text".to_owned(),
            entries,
            next_revision: if next <= newest { next } else { 0 },
            position: Some(Position {
                epoch: 1,
                revision: newest,
            }),
            first_revision: 1,
            oldest_revision: 1,
            ..HistoryPage::default()
        }
    }

    #[test]
    fn a_text_is_put_together_page_by_page() {
        for (revision, expected) in [
            (None, "abcdef"),
            (Some(6), "abcdef"),
            (Some(4), "abcd"),
            (Some(2), "ab"),
            (Some(1), "a"),
            (Some(0), ""),
        ] {
            let mut at = TextAt::new("notes", revision);
            while let Some(options) = at.next() {
                assert!(options.with_operations && !options.newest_first);
                let next = match options.from_revision {
                    0 | 1 => page(1, &[1, 2], 6),
                    4 => page(4, &[3], 6),
                    other => panic!("{other}"),
                };
                at.take(&next).expect("it fits");
            }
            assert_eq!(at.text().to_string(), expected);
            assert_eq!(at.revision(), Some(expected.len() as u64));
        }
    }

    #[test]
    fn what_does_not_lead_to_the_text_is_said() {
        let take = |revision, page: &HistoryPage| TextAt::new("notes", Some(revision)).take(page);
        let log = HistoryPage {
            kind: "log".to_owned(),
            ..page(1, &[1], 1)
        };
        let kind = "log".to_owned();
        assert_eq!(take(1, &log), Err(TextAtError::NoText { kind }));
        let unknown = TextAtError::RevisionUnknown {
            revision: 7,
            first: 1,
            newest: 6,
        };
        assert_eq!(take(7, &page(1, &[6], 6)), Err(unknown));
        let gap = |expected, found| Err(TextAtError::Gap { expected, found });
        assert_eq!(take(6, &page(3, &[1], 6)), gap(1, 3));
        assert_eq!(take(6, &page(1, &[], 6)), Ok(()));
        let without_operations = HistoryPage {
            entries: page(1, &[2], 6)
                .entries
                .into_iter()
                .map(|entry| HistoryEntry {
                    operations: vec![],
                    ..entry
                })
                .collect(),
            ..page(1, &[2], 6)
        };
        assert_eq!(take(6, &without_operations), gap(1, 3));
    }

    #[test]
    fn a_revision_is_found_by_its_time() {
        assert_eq!(revision_at(&page(4, &[3], 6)), 6);
        assert_eq!(revision_at(&page(1, &[], 6)), 0);
    }
}
