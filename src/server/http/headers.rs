//! The header fields of a request.

#[derive(Clone, Copy)]
pub struct Headers<'a>(pub &'a [httparse::Header<'a>]);

impl<'a> Headers<'a> {
    pub fn values(self, name: &str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.0
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value.trim_ascii())
    }

    /// The header's first value, if it is text.
    pub fn text(self, name: &str) -> Option<String> {
        String::from_utf8(self.values(name).next()?.to_vec()).ok()
    }

    pub fn count(self, name: &str) -> usize {
        self.values(name).count()
    }

    /// What the header's comma-separated list has.
    pub fn items(self, name: &str) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.values(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
    }

    /// Whether the header's comma-separated list has the word, in any case.
    pub fn lists(self, name: &str, word: &str) -> bool {
        self.items(name)
            .any(|item| item.eq_ignore_ascii_case(word.as_bytes()))
    }
}
