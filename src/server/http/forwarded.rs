//! For whom a proxy asks.

use std::net::IpAddr;

use super::headers::Headers;
use super::{Answer, HEADERS_MAX};
use crate::config::Proxies;

/// The client for whom one of the proxies has sent this head, which is whole and in order. `Ok(None)`: the proxy does not
/// say.
///
/// # Errors
///
/// The answer after which the connection ends. To take the proxy for the client instead would be to count all its
/// clients as one, and nobody would know why they are refused.
pub fn forwarded_for(head: &[u8], proxies: &Proxies) -> Result<Option<IpAddr>, Answer> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    // It has been read before.
    let _ = request.parse(head);
    let items = Headers(request.headers).items("X-Forwarded-For");
    let items = items.filter(|item| !item.is_empty());
    proxies.client(items.rev()).map_err(Answer::bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Draft;

    #[test]
    fn all_lines_of_the_header_are_one_list() {
        let mut draft = Draft::default();
        draft.set("listen.proxies=10.0.0.0/8");
        let proxies = draft.finish().expect("it is in order").listen.proxies;
        let read = |lines: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: relay\r\n{lines}\r\n");
            forwarded_for(head.as_bytes(), &proxies)
        };
        let client = Ok(Some(IpAddr::from([203, 0, 113, 7])));
        assert_eq!(read("x-forwarded-for: 203.0.113.7\r\n"), client);
        let two = "X-Forwarded-For: 6.6.6.6,203.0.113.7, 10.0.0.1\r\nA: b\r\nX-FORWARDED-FOR: 10.0.0.2\r\n";
        assert_eq!(read(two), client);
        assert_eq!(read("A: b\r\nX-Forwarded-For: \r\n"), Ok(None));
        let answer = read("X-Forwarded-For: unknown\r\n").expect_err("it is no address");
        let response = answer.response(true);
        assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
        assert!(response.contains("listen.proxies"), "{response}");
    }
}
