//! Percent-encoding in URLs.

/// The bytes that a text stands for. `None`: a % without two hexadecimal digits.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => (hexadecimal(bytes.next()?)? << 4) | hexadecimal(bytes.next()?)?,
            plain => plain,
        });
    }
    Some(decoded)
}

/// The first value of that name in a query, if it is text.
pub fn parameter(query: &str, name: &str) -> Option<String> {
    query
        .split('&')
        .filter_map(|item| item.split_once('='))
        .find(|(key, _)| *key == name)
        .and_then(|(_, value)| String::from_utf8(decode(value)?).ok())
}

fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
