//! What an HTTP request says of its client in place of a Hello: in headers, or, where a browser cannot set them, in
//! the query.

use bytes::Bytes;

use super::percent;
use crate::codec::dialect::Dialect;
use crate::codec::json::client_uuid;
use crate::codec::wire::Hello;

/// What came with the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Introduction {
    /// `None`: the client's first message will show it.
    pub dialect: Option<Dialect>,
    /// `None`: the client did not say who it is.
    pub hello: Option<Hello>,
}

impl Introduction {
    /// `header` gives the value of a header, in any case of its name.
    ///
    /// # Errors
    ///
    /// What is wrong, as a sentence.
    pub fn read(
        header: impl Fn(&str) -> Option<String>,
        query: &str,
    ) -> Result<Self, &'static str> {
        let either = |name: &str, parameter: &str| {
            header(name).or_else(|| percent::parameter(query, parameter))
        };
        let client = either("X-Client-ID", "client");
        let version = either("X-Protocol-Version", "version")
            .map(|version| version.parse::<u32>())
            .transpose()
            .map_err(|_| "X-Protocol-Version, or ?version=, must be a number.")?;
        let is_json = match percent::parameter(query, "dialect").as_deref() {
            None => false,
            Some("json") => true,
            Some(_) => return Err("There is no such dialect; \"json\" is one."),
        };
        let hello = client
            .map(|client| -> Result<Hello, &'static str> {
                let client_uuid =
                    client_uuid(&client).ok_or("X-Client-ID, or ?client=, must be a UUID.")?;
                Ok(Hello {
                    protocol_version: version.unwrap_or(1),
                    client_uuid: Bytes::from_owner(client_uuid),
                    user_id: percent::parameter(query, "user").unwrap_or_default(),
                    user_name: percent::parameter(query, "name").unwrap_or_default(),
                    debug: percent::parameter(query, "debug").is_some(),
                    ..Hello::default()
                })
            })
            .transpose()?;
        let of_version = hello.as_ref().map(|hello| match hello.protocol_version {
            0 | 1 => Dialect::Json,
            _later => Dialect::Protobuf,
        });
        Ok(Self {
            dialect: if is_json {
                Some(Dialect::Json)
            } else {
                of_version
            },
            hello,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "00112233-4455-6677-8899-aabbccddeeff";

    fn read(headers: &[(&str, &str)], query: &str) -> Result<Introduction, &'static str> {
        let header = |name: &str| {
            let mut matching = headers.iter().filter(|(is, _)| *is == name);
            matching.next().map(|(_, value)| (*value).to_owned())
        };
        Introduction::read(header, query)
    }

    #[test]
    fn a_client_can_say_who_it_is_in_headers_or_in_the_query() {
        let by_header = read(&[("X-Client-ID", UUID), ("X-Protocol-Version", "1")], "");
        let introduction = by_header.expect("valid");
        assert_eq!(introduction.dialect, Some(Dialect::Json));
        let hello = introduction.hello.expect("it says who it is");
        assert_eq!(hello.client_uuid[..3], [0x00, 0x11, 0x22]);
        assert_eq!(hello.protocol_version, 1);

        let query = "client=00112233445566778899aabbccddeeff&version=3&user=a%20b&name=Ada";
        let introduction = read(&[], query).expect("valid");
        assert_eq!(introduction.dialect, Some(Dialect::Protobuf));
        let hello = introduction.hello.expect("it says who it is");
        assert_eq!((&*hello.user_id, &*hello.user_name), ("a b", "Ada"));

        let introduction = read(&[], "version=3&dialect=json").expect("valid");
        assert_eq!(introduction.dialect, Some(Dialect::Json));
        assert_eq!(introduction.hello, None, "it has not said who it is");
        assert_eq!(read(&[], ""), Ok(Introduction::default()));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (headers, query) in [
            (&[("X-Client-ID", "me")][..], ""),
            (&[("X-Client-ID", &UUID[1..])], ""),
            (&[("X-Client-ID", UUID), ("X-Protocol-Version", "one")], ""),
            (&[], "dialect=klingon"),
        ] {
            read(headers, query).expect_err("it is wrong");
        }
    }
}
