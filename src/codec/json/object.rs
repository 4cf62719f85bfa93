//! Readers for what serde's derived ones take too generously.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::JsonError;

/// A value that is written as an object, and not as the array of its members.
#[derive(Debug, Clone, Copy, Default)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

/// Reads an object, and nothing after it.
pub fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, JsonError> {
    let Object(value) = serde_json::from_str(text)?;
    Ok(value)
}

/// The elements of an array. `None`: there are more than `count_max`; no more than that are kept.
pub fn list(array: &RawValue, count_max: usize) -> Result<Option<Vec<Box<RawValue>>>, JsonError> {
    struct Elements(usize);

    impl<'de> Visitor<'de> for Elements {
        type Value = Option<Vec<Box<RawValue>>>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while elements.len() < self.0 {
                let Some(element) = array.next_element()? else {
                    return Ok(Some(elements));
                };
                elements.push(element);
            }
            let mut is_whole = true;
            while array.next_element::<IgnoredAny>()?.is_some() {
                is_whole = false;
            }
            Ok(is_whole.then_some(elements))
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(array.get());
    Ok(deserializer.deserialize_seq(Elements(count_max))?)
}

/// The members of an object, whose names are all different. `None`: there are more than `count_max`; no more than that
/// are kept.
pub fn map<'a, K, V>(
    object: &'a RawValue,
    count_max: usize,
) -> Result<Option<BTreeMap<K, V>>, JsonError>
where
    K: Deserialize<'a> + Ord,
    V: Deserialize<'a>,
{
    struct Entries<K, V>(usize, PhantomData<(K, V)>);

    impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
        type Value = Option<BTreeMap<K, V>>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
            let mut entries = BTreeMap::new();
            while entries.len() < self.0 {
                let Some((name, value)) = object.next_entry()? else {
                    return Ok(Some(entries));
                };
                if entries.insert(name, value).is_some() {
                    return Err(serde::de::Error::custom(
                        "a member stands twice in an object",
                    ));
                }
            }
            let mut is_whole = true;
            while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                is_whole = false;
            }
            Ok(is_whole.then_some(entries))
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(object.get());
    Ok(deserializer.deserialize_map(Entries(count_max, PhantomData))?)
}
