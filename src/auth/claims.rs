//! From the claims of a genuine token to a grant. [`Grant`] says what each of them may be.

use serde_json::{Map, Value};

use super::error::TokenError;
use super::grant::{Grant, Permissions, is_token_id, is_user_text};
use super::pattern::Pattern;
use super::tenant::is_tenant;
use super::verifier::Rules;

const DOCUMENTS_MAX: usize = 1000;
/// As many as there are.
const PERMISSIONS_MAX: usize = 4;

/// The claims of a token whose signature was found good.
pub struct Claims(Map<String, Value>);

impl Grant {
    /// What the operator's backend grants with this answer: a JSON object with the members of a token, of which `exp` may
    /// be left out. Without it the grant ends with the connection; without `iat` it counts as issued at `now_ms`, when
    /// the backend was asked.
    ///
    /// # Errors
    ///
    /// [`TokenError::Expired`], or the backend is at fault.
    pub fn from_answer(answer: &[u8], leeway_ms: u64, now_ms: u64) -> Result<Self, TokenError> {
        Claims::parse(answer)?.granted_by_backend(leeway_ms, now_ms)
    }
}

impl Claims {
    /// Reads the payload of a token: a JSON object.
    pub fn parse(payload: &[u8]) -> Result<Self, TokenError> {
        serde_json::from_slice(payload)
            .map(Self)
            .map_err(|_| TokenError::Malformed)
    }

    /// What the claims grant at `now_ms`.
    pub fn grant(&self, rules: &Rules, now_ms: u64) -> Result<Grant, TokenError> {
        let end_ms = self
            .time_ms("exp", "exp must be a number of seconds since 1970")?
            .ok_or(TokenError::ClaimInvalid("exp is required"))?;
        let expires_at_ms = end_ms.saturating_add(rules.leeway_ms);
        if now_ms >= expires_at_ms {
            return Err(TokenError::Expired);
        }
        let not_before_ms = self.time_ms("nbf", "nbf must be a number of seconds since 1970")?;
        if not_before_ms.is_some_and(|start_ms| now_ms.saturating_add(rules.leeway_ms) < start_ms) {
            return Err(TokenError::NotYetValid);
        }
        let issued_at_ms = self.time_ms("iat", "iat must be a number of seconds since 1970")?;
        let begin_ms = issued_at_ms.unwrap_or(now_ms).min(now_ms);
        if end_ms.saturating_sub(begin_ms) > rules.lifetime_max_ms {
            return Err(TokenError::LivesTooLong);
        }
        self.check_issuer(rules)?;
        self.check_audience(rules)?;
        Ok(Grant {
            tenant: self.tenant()?,
            user_id: self.user_id()?,
            user_name: self.user_name()?,
            documents: self.documents()?,
            permissions: self.permissions()?,
            token_id: self.token_id()?,
            issued_at_ms,
            expires_at_ms,
        })
    }

    /// What an operator's backend grants with these members, asked at `now_ms`.
    fn granted_by_backend(&self, leeway_ms: u64, now_ms: u64) -> Result<Grant, TokenError> {
        let end_ms = self.time_ms("exp", "exp must be a number of seconds since 1970")?;
        let expires_at_ms = end_ms.map_or(u64::MAX, |end_ms| end_ms.saturating_add(leeway_ms));
        if now_ms >= expires_at_ms {
            return Err(TokenError::Expired);
        }
        let issued_at_ms = self.time_ms("iat", "iat must be a number of seconds since 1970")?;
        Ok(Grant {
            tenant: self.tenant()?,
            user_id: self.user_id()?,
            user_name: self.user_name()?,
            documents: self.documents()?,
            permissions: self.permissions()?,
            token_id: self.token_id()?,
            issued_at_ms: Some(issued_at_ms.unwrap_or(now_ms)),
            expires_at_ms,
        })
    }

    fn claim(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A claim that is text, if it is there.
    fn text(&self, name: &str, refusal: &'static str) -> Result<Option<&str>, TokenError> {
        self.claim(name)
            .map(|value| value.as_str().ok_or(TokenError::ClaimInvalid(refusal)))
            .transpose()
    }

    /// A claim that is an array of texts, if it is there.
    fn texts(
        &self,
        name: &str,
        count_max: usize,
        refusal: &'static str,
    ) -> Result<Option<Vec<&str>>, TokenError> {
        let Some(value) = self.claim(name) else {
            return Ok(None);
        };
        value
            .as_array()
            .filter(|array| array.len() <= count_max)
            .and_then(|array| array.iter().map(Value::as_str).collect())
            .map(Some)
            .ok_or(TokenError::ClaimInvalid(refusal))
    }

    /// A point in time, which may have a fraction of a second.
    fn time_ms(&self, name: &str, refusal: &'static str) -> Result<Option<u64>, TokenError> {
        let Some(value) = self.claim(name) else {
            return Ok(None);
        };
        let whole = value.as_u64().map(|seconds| seconds.saturating_mul(1000));
        let fraction = || {
            let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0)?;
            // Rounded down, and as large as it gets where it is larger.
            Some((seconds * 1000.0) as u64)
        };
        whole
            .or_else(fraction)
            .map(Some)
            .ok_or(TokenError::ClaimInvalid(refusal))
    }

    fn check_issuer(&self, rules: &Rules) -> Result<(), TokenError> {
        let issuer = self.claim("iss").and_then(Value::as_str);
        match &rules.issuer {
            Some(expected) if issuer != Some(expected) => Err(TokenError::WrongIssuer),
            Some(_) | None => Ok(()),
        }
    }

    fn check_audience(&self, rules: &Rules) -> Result<(), TokenError> {
        let named = |expected: &String| match self.claim("aud") {
            Some(Value::String(audience)) => audience == expected,
            Some(Value::Array(audiences)) => audiences.iter().any(|one| one == expected),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
                false
            }
        };
        let is_meant = match &rules.audience {
            Some(expected) => named(expected),
            // It is meant for somebody, and the relay has no name by which it could be that one.
            None => self.claim("aud").is_none(),
        };
        is_meant.then_some(()).ok_or(TokenError::WrongAudience)
    }

    fn user_id(&self) -> Result<String, TokenError> {
        const REFUSAL: &str = "sub must be a text of 1 to 128 bytes without control characters";
        self.text("sub", REFUSAL)?
            .filter(|user_id| !user_id.is_empty() && is_user_text(user_id))
            .map(str::to_owned)
            .ok_or(TokenError::ClaimInvalid(REFUSAL))
    }

    fn user_name(&self) -> Result<String, TokenError> {
        const REFUSAL: &str = "name must be a text of at most 128 bytes without control characters";
        let name = self.text("name", REFUSAL)?.unwrap_or_default();
        if !is_user_text(name) {
            return Err(TokenError::ClaimInvalid(REFUSAL));
        }
        Ok(name.to_owned())
    }

    fn token_id(&self) -> Result<Option<String>, TokenError> {
        const REFUSAL: &str = "jti must be a text of 1 to 256 bytes without control characters";
        match self.text("jti", REFUSAL)? {
            Some(token_id) if !is_token_id(token_id) => Err(TokenError::ClaimInvalid(REFUSAL)),
            token_id => Ok(token_id.map(str::to_owned)),
        }
    }

    fn tenant(&self) -> Result<String, TokenError> {
        const REFUSAL: &str = "tenant must be a text of at most 128 bytes without control characters, \
                               without \"::\" and without \":\" at its end";
        let tenant = self.text("tenant", REFUSAL)?.unwrap_or_default();
        if !is_tenant(tenant) {
            return Err(TokenError::ClaimInvalid(REFUSAL));
        }
        Ok(tenant.to_owned())
    }

    fn documents(&self) -> Result<Vec<Pattern>, TokenError> {
        const REFUSAL: &str = "documents must be an array of at most 1000 ids or patterns, \
                               each of 1 to 256 bytes without control characters";
        self.texts("documents", DOCUMENTS_MAX, REFUSAL)?
            .unwrap_or_else(|| vec!["*"])
            .into_iter()
            .map(Pattern::new)
            .collect::<Option<_>>()
            .ok_or(TokenError::ClaimInvalid(REFUSAL))
    }

    fn permissions(&self) -> Result<Permissions, TokenError> {
        const REFUSAL: &str =
            "permissions must be an array of \"read\", \"write\", \"create\", \"delete\"";
        let words = self
            .texts("permissions", PERMISSIONS_MAX, REFUSAL)?
            .unwrap_or_else(|| vec!["read", "write", "create"]);
        let mut permissions = Permissions::default();
        for word in words {
            match word {
                "read" => permissions.read = true,
                "write" => permissions.write = true,
                "create" => permissions.create = true,
                "delete" => permissions.delete = true,
                _ => return Err(TokenError::ClaimInvalid(REFUSAL)),
            }
        }
        Ok(permissions)
    }
}
