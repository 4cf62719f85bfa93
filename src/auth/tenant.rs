//! How two tenants' documents are kept apart: the name that a document has inside the relay.
//!
//! Clients name a document within their tenant. Inside, `invoice-42` of the tenant `acme` is `acme::invoice-42`; a
//! document of the tenant without a name keeps its name as it is. The tenant is what stands before the first `::`, and
//! so that this is always true,
//!
//! - a tenant has no `::` in it and no `:` at its end (see [`is_tenant`]), and
//! - a document of the tenant without a name gets that empty name and its `::` in front, if there is a `::` in it.
//!
//! Every pair of a tenant and a document has a name of its own, whatever the client sends, and every name leads back
//! to its pair. No tenant can therefore name another's document. Nothing is refused for it.

/// Between the tenant and the document.
const SEPARATOR: &str = "::";
/// The most bytes of a tenant.
const TENANT_BYTES_MAX: usize = 128;

/// Whether this can be a tenant: at most 128 bytes, no control characters, no `::`, and no `:` at its end. The empty
/// one is the tenant without a name.
pub fn is_tenant(tenant: &str) -> bool {
    tenant.len() <= TENANT_BYTES_MAX
        && !tenant.chars().any(char::is_control)
        && !tenant.contains(SEPARATOR)
        && !tenant.ends_with(':')
}

/// The name of a tenant's document inside the relay, at most 130 bytes longer than the document's.
pub fn global_id(tenant: &str, document: &str) -> String {
    debug_assert!(is_tenant(tenant), "{tenant:?} is no tenant");
    if tenant.is_empty() && !document.contains(SEPARATOR) {
        document.to_owned()
    } else {
        format!("{tenant}{SEPARATOR}{document}")
    }
}

/// The tenant and the document that [`global_id`] was made of.
pub fn split_global_id(global_id: &str) -> (&str, &str) {
    // Asked for with every operation, where preparing a search for a string costs more than the search.
    let mut pairs = global_id.as_bytes().windows(SEPARATOR.len());
    match pairs.position(|pair| pair == SEPARATOR.as_bytes()) {
        Some(at) => (&global_id[..at], &global_id[at + SEPARATOR.len()..]),
        None => ("", global_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_tenant() {
        for tenant in ["", "acme", "a:b", ":a", "Zürich", &"t".repeat(128)] {
            assert!(is_tenant(tenant), "{tenant:?}");
        }
        for tenant in ["a::b", "::", ":", "a:", "a\n", &"t".repeat(129)] {
            assert!(!is_tenant(tenant), "{tenant:?}");
        }
    }

    #[test]
    fn names_inside_the_relay() {
        let table = [
            ("acme", "invoice-42", "acme::invoice-42"),
            ("acme", "beta::invoice-42", "acme::beta::invoice-42"),
            ("acme", ":x", "acme:::x"),
            ("", "invoice-42", "invoice-42"),
            ("", "acme::invoice-42", "::acme::invoice-42"),
            ("", "::", "::::"),
            ("", "a:", "a:"),
        ];
        for (tenant, document, expected) in table {
            assert_eq!(global_id(tenant, document), expected);
            assert_eq!(split_global_id(expected), (tenant, document));
        }
    }
}
