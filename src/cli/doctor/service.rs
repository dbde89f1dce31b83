//! Checks the settings and the service that they name. One call tells whether it
//! answers, whether it takes the token, and what time it has.

use super::check::Check;
use crate::{
    api::Client,
    config::Settings,
    error::{Error, NOT_V1_ADVICE, Result, TransportKind},
    http,
    humanize::age,
    progress::Progress,
};
use jiff::Timestamp;
use std::time::{Duration, Instant};

/// Maximum wait for the API here, also where `--timeout` is longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A clock that is off by less does no harm: the service's times are shown as
/// they are, and `Date` has whole seconds.
const CLOCK: Duration = Duration::from_secs(60);

const API: &str = "API";
const MEND: &str = "mend that, and run this again to have the API asked";
const NEW_TOKEN: &str = "log in with `vm0 auth login`, or set VM0_API_KEY, or name a file that \
                         holds it with --token-file";

/// Settings, service, token and clock.
pub(super) fn check(settings: &Result<Settings>) -> Vec<Check> {
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => return vec![Check::fail(error.to_string(), MEND).of("settings")],
    };
    let mut checks = vec![Check::ok("complete").of("settings")];
    if settings.options.offline {
        checks.push(Check::ok("not asked: config.toml says offline").of(API));
        return checks;
    }
    let mut config = settings.client_config();
    config.timeout = config.timeout.min(PATIENCE);
    let client = match Client::new(config) {
        Ok(client) => client,
        Err(error) => {
            // It says what to do: of the address, the proxy, or missing certificates.
            checks.push(Check::fail(error.to_string(), MEND).of(API));
            return checks;
        }
    };
    checks.push(proxy(settings).of("proxy"));
    let started = Instant::now();
    let answer = client.check(&Progress::new());
    let took = started.elapsed();
    let [api, token] = judge(client.origin(), answer.as_ref().err(), took);
    checks.extend([api.of(API), token.of("token")]);
    if answer.is_ok() || answer.is_err_and(|error| error.status().is_some()) {
        checks.push(clock(client.now(), Timestamp::now()).of("clock"));
    }
    checks
}

/// Which proxy the API is asked through. Its client has been made, so the
/// environment names one that can be used, or none.
fn proxy(settings: &Settings) -> Check {
    match http::proxy_for(&settings.api_url) {
        Ok(Some(proxy)) => Check::ok(format!("the API is asked through {proxy}")),
        Ok(None) => Check::ok("none: the API is asked directly"),
        Err(error) => Check::fail(error.to_string(), "mend that"),
    }
}

/// What an answer says about the API and the token.
fn judge(origin: &str, error: Option<&Error>, took: Duration) -> [Check; 2] {
    let there = || Check::ok(format!("{origin} answers, in {} ms", took.as_millis()));
    let Some(error) = error else {
        return [there(), Check::ok("the API takes it")];
    };
    if let Some(status @ (401 | 403)) = error.status() {
        let found = match error {
            // Such as that its user has no scope.
            Error::Api(api) if !api.message.is_empty() => {
                format!("the API refuses it (HTTP {status}: {})", api.message)
            }
            _ => format!("the API refuses it (HTTP {status})"),
        };
        return [there(), Check::fail(found, NEW_TOKEN)];
    }
    let found = format!("{origin}: {error}");
    let api = match (error.status(), error) {
        (_, Error::NotV1 { asked, came, .. }) => {
            let found = format!("{asked} was answered with {came}, which is not the VM0 API v1");
            Check::fail(found, NOT_V1_ADVICE)
        }
        (Some(429), _) => Check::warn(found, "wait until the rate limit ends"),
        (Some(404), _) | (_, Error::BadAnswer { .. }) => {
            let advice = "see that --api-url is the API's: something else answers";
            Check::fail(found, advice)
        }
        (Some(500..), _) => Check::fail(found, "until then, mounts show what was last known"),
        (_, Error::Transport(transport)) if transport.kind == TransportKind::Connect => {
            let advice = "see that --api-url is right and the network is up (behind a proxy, set \
                          HTTPS_PROXY); for a certificate, that the clock is right";
            Check::fail(found, advice)
        }
        _ => Check::fail(found, "see that the network is up, and try again"),
    };
    let advice = "run this again when the API can be asked";
    [api, Check::warn("there, and not known to be good", advice)]
}

fn clock(theirs: Timestamp, ours: Timestamp) -> Check {
    let ahead = ours.duration_since(theirs);
    let off = ahead.unsigned_abs();
    if off < CLOCK {
        return Check::ok("agrees with the API's");
    }
    let word = match ahead.is_negative() {
        true => "behind",
        false => "ahead of",
    };
    Check::warn(
        format!("{} {word} the API's", age(off)),
        "set it (timedatectl set-ntp true): logs have wrong times, and certificates may be refused",
    )
}

#[cfg(test)]
mod tests {
    use super::{super::check::Level, *};
    use crate::error::{ApiError, TransportError};
    use std::sync::Arc;

    #[test]
    fn each_answer_of_the_api_has_its_advice() {
        let api = |status| {
            Error::Api(Arc::new(ApiError {
                status,
                ..ApiError::default()
            }))
        };
        let transport = |kind| {
            Error::Transport(Arc::new(TransportError {
                request: "GET /v1/agents".into(),
                kind,
                message: "no".into(),
            }))
        };
        use Level::{Fail, Ok, Warn};
        for (error, levels, word) in [
            (None, [Ok, Ok], ""),
            (Some(api(401)), [Ok, Fail], "vm0 auth login"),
            (Some(api(403)), [Ok, Fail], "vm0 auth login"),
            (Some(api(429)), [Warn, Warn], "rate limit"),
            (Some(api(503)), [Fail, Warn], "later"),
            (Some(api(404)), [Fail, Warn], "--api-url"),
            (
                Some(transport(TransportKind::Connect)),
                [Fail, Warn],
                "HTTPS_PROXY",
            ),
            (
                Some(transport(TransportKind::Stalled)),
                [Fail, Warn],
                "network",
            ),
        ] {
            let checks = judge("https://x", error.as_ref(), Duration::ZERO);
            let found: Vec<Level> = checks.iter().map(|check| check.level).collect();
            assert_eq!(found, levels, "{error:?}");
            let lines: String = checks.iter().map(Check::line).collect();
            assert!(lines.contains(word), "{lines}");
        }
    }

    #[test]
    fn a_clock_that_is_a_minute_off_is_told() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap_or_default();
        assert_eq!(clock(at(1000), at(1059)).level, Level::Ok);
        let behind = clock(at(4600), at(1000));
        assert_eq!(
            (behind.level, &*behind.found),
            (Level::Warn, "1 h behind the API's")
        );
        let ahead = clock(at(1000), at(1120));
        assert_eq!(ahead.found, "2 min ahead of the API's");
    }
}
