//! Error answers of the service, in words.

use std::fmt;

/// An error answer of the service, as its JSON gives it or as near as can be told.
#[derive(Clone, Debug, Default)]
pub struct ApiError {
    /// What was asked, e.g. `GET /v1/runs`.
    pub request: String,
    /// HTTP status.
    pub status: u16,
    /// `error.type`, empty where the body was not the documented JSON.
    pub kind: String,
    /// `error.code`, empty likewise.
    pub code: String,
    /// `error.message`, or a summary of the body that came instead.
    pub message: String,
    /// `error.param`.
    pub param: Option<String>,
    /// `X-Request-Id`, for a report to the service's operators.
    pub request_id: Option<String>,
    /// `Retry-After` in seconds, with 429 or 503.
    pub retry_after: Option<u64>,
    /// Where the token is from that was refused, where that is known.
    pub token_source: Option<String>,
    /// What to do next, where that depends on what was asked.
    pub advice: Option<String>,
}

impl ApiError {
    /// Whether the body was the documented JSON, by its type.
    pub fn is_documented(&self) -> bool {
        !self.kind.is_empty()
    }
}

/// Where a user can name a token.
const TOKEN_SOURCES: &str = "--token-file, VM0_API_KEY, `vm0 auth login`";

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: HTTP {}", self.request, self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        if let Some(param) = &self.param {
            write!(f, " (parameter {param})")?;
        }
        match (self.status, &self.token_source) {
            (401, Some(source)) => write!(
                f,
                "; check the token, which is from {source} ({TOKEN_SOURCES})"
            )?,
            (401, None) => write!(f, "; check the token ({TOKEN_SOURCES})")?,
            (403, _) => write!(
                f,
                "; the token may not do this: see whose it is ({TOKEN_SOURCES})"
            )?,
            (500.., _) if self.advice.is_none() => {
                f.write_str("; the service is in trouble: try again later")?;
            }
            _ => {}
        }
        if let Some(seconds) = self.retry_after {
            write!(f, " (try again in {seconds} s)")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " [request id {id}]")?;
        }
        if let Some(advice) = &self.advice {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_refuses_says_what_to_do_next() {
        let said = |status, source: Option<&str>, advice: Option<&str>| {
            let error = ApiError {
                request: "GET /v1/runs".into(),
                status,
                token_source: source.map(str::to_owned),
                advice: advice.map(str::to_owned),
                ..ApiError::default()
            };
            error.to_string()
        };
        let refused = said(401, Some("VM0_API_KEY"), None);
        assert!(
            refused.contains("check the token, which is from VM0_API_KEY (--token-file"),
            "{refused}"
        );
        assert!(said(401, None, None).contains("check the token (--token-file"));
        assert!(said(403, None, None).contains("may not do this: see whose it is"));
        assert!(said(500, None, None).ends_with("; the service is in trouble: try again later"));
        // Not for what may have been done.
        let order = said(502, None, Some("look in runs/"));
        assert_eq!(order, "GET /v1/runs: HTTP 502; look in runs/");
    }
}
