//! Names of documents with gaps in them.

/// A document id, in which each `*` stands for any run of characters, the empty one too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// The most bytes of a pattern, as of a document id.
const PATTERN_BYTES_MAX: usize = 256;

impl Pattern {
    /// `None` if the text is empty, has more than 256 bytes or has control characters.
    pub fn new(text: &str) -> Option<Self> {
        let is_pattern =
            (1..=PATTERN_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        is_pattern.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the document is one of those that the pattern names.
    pub fn matches(&self, document: &str) -> bool {
        let Some((start, rest)) = self.0.split_once('*') else {
            return self.0 == document;
        };
        let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(gap) = document
            .strip_prefix(start)
            .and_then(|document| document.strip_suffix(end))
        else {
            return false;
        };
        // Taking each piece where it comes first leaves the most for those behind it.
        let mut pieces = middle.split('*');
        pieces
            .try_fold(gap, |gap, piece| {
                gap.find(piece).map(|at| &gap[at + piece.len()..])
            })
            .is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_documents_a_pattern_names() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("a", &["a"], &["", "aa", "b", "*"]),
            ("*", &["", "a", "::", "any thing"], &[]),
            ("**", &["", "a"], &[]),
            (
                "invoice-*",
                &["invoice-", "invoice-42", "invoice-*"],
                &["invoice", "Invoice-42", "my-invoice-42"],
            ),
            (
                "*-draft",
                &["-draft", "a-draft", "-draft-draft"],
                &["draft", "a-draft-2"],
            ),
            ("a*a", &["aa", "aba", "aaa"], &["a", "ab", "ba"]),
            (
                "a*b*c",
                &["abc", "a--b--c", "abcbc", "abbc"],
                &["ac", "acb", "ab", "bc", "xabc"],
            ),
            ("*a*", &["a", "bab"], &["", "b"]),
            ("*ab*ba*", &["abba", "xabxbax"], &["aba", "baab"]),
            ("*aab", &["aaab", "aab"], &["aaba"]),
            ("a?[b].c", &["a?[b].c"], &["axb.c", "a?[b]xc"]),
            ("ö*ü", &["öü", "öäü"], &["ö", "oü"]),
        ];
        for (text, named, others) in table {
            let pattern = Pattern::new(text).expect("the table has patterns");
            for document in *named {
                assert!(pattern.matches(document), "{text:?} names {document:?}");
            }
            for document in *others {
                assert!(
                    !pattern.matches(document),
                    "{text:?} does not name {document:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_a_pattern() {
        assert_eq!(Pattern::new("a*").as_ref().map(Pattern::as_str), Some("a*"));
        assert!(Pattern::new(&"*".repeat(256)).is_some());
        for text in ["", "a\0", "\u{85}", &"*".repeat(257)] {
            assert_eq!(Pattern::new(text), None, "{text:?}");
        }
    }
}
