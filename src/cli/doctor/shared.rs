//! Checks the cache that the machines of a fleet share, where settings name one. A mount
//! works without it.

use super::check::Check;
use crate::{config::Settings, error::Error, shared::SharedCache};
use std::time::Instant;

const NAME: &str = "shared cache";

/// One look-up of an object that no machine writes: it needs no right but that of reading.
pub(super) fn check(settings: &Settings) -> Option<Check> {
    let (shared, key) = settings.shared_cache.as_ref()?;
    let url = &shared.access.url;
    if settings.options.offline {
        return Some(Check::ok("not asked: config.toml says offline").of(NAME));
    }
    let started = Instant::now();
    let looked = SharedCache::open(&shared.access, key).and_then(|cache| cache.reach());
    let check = match looked {
        Ok(()) => {
            let took = started.elapsed().as_millis();
            Check::ok(format!("{url} answers, in {took} ms"))
        }
        Err(error @ Error::Setup(_)) => {
            let advice = "mend that: a mount with this setting does not start";
            Check::fail(error.to_string(), advice)
        }
        Err(error) => {
            let advice = "mounts work without it, and ask the service instead";
            Check::warn(error.to_string(), advice)
        }
    };
    Some(check.of(NAME))
}
