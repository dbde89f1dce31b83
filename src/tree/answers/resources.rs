//! The list of resources. A new one is a file and two lines here.

mod agent;
mod agent_versions;
mod agents;
mod prelude;
mod run;
mod run_logs;
mod run_metrics;
mod runs;
mod storage;
mod storages;
mod versions;

pub(crate) use run::last_change;

use super::resource::Resource;
use crate::tree::{cache::Cache, node::Node};
use std::fmt;

/// A resource of the list.
pub(crate) trait Registered: Resource {
    /// Where its answers are held.
    fn cache(caches: &Caches) -> &Cache<Self::Key, Self::Value>;
    /// Its answer under a key.
    fn key(key: Self::Key) -> Key;
}

macro_rules! resources {
    // The dollar sign is for the macro within.
    ($dollar:tt $($module:ident::$resource:ident,)*) => {
        $(pub(crate) use self::$module::$resource;)*

        /// One answer of one resource.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Key {
            $($resource(<$resource as Resource>::Key),)*
        }

        /// `of_resource!(any, |R, key| body)` is the body with `R` as the resource of a
        /// [`Key`], and `key` as that resource's own key.
        macro_rules! of_resource {
            ($dollar any:expr, |$dollar R:ident, $dollar key:pat_param| $dollar body:expr) => {
                match $dollar any {
                    $(Key::$resource($dollar key) => {
                        type $dollar R = $resource;
                        $dollar body
                    })*
                }
            };
        }

        /// The answers in memory.
        pub(crate) struct Caches {
            $($module: Cache<<$resource as Resource>::Key, <$resource as Resource>::Value>,)*
        }

        impl Default for Caches {
            fn default() -> Self {
                Self {
                    $($module: Cache::new($resource::BOUNDS),)*
                }
            }
        }

        impl Caches {
            /// Forgets most of what is in memory.
            pub(crate) fn shed(&self) {
                $(self.$module.shed();)*
            }
        }

        $(impl Registered for $resource {
            fn cache(caches: &Caches) -> &Cache<Self::Key, Self::Value> {
                &caches.$module
            }

            fn key(key: Self::Key) -> Key {
                Key::$resource(key)
            }
        })*
    };
}

resources! { $
    agents::Agents,
    agent::Agent,
    agent_versions::AgentVersions,
    runs::Runs,
    run::Run,
    run_logs::RunLogs,
    run_metrics::RunMetrics,
    storages::Storages,
    storage::Storage,
    versions::Versions,
}

pub(super) use of_resource;

impl Key {
    /// The folder that shows the object among many of its kind.
    pub(crate) fn folder(&self) -> Option<Node> {
        of_resource!(self, |R, key| R::folder(key))
    }

    /// Whether the service always has the answer.
    pub(crate) fn always_exists(&self) -> bool {
        of_resource!(self, |R, _| R::ALWAYS_EXISTS)
    }
}

/// In a user's words, for messages.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&of_resource!(self, |R, key| R::title(key)))
    }
}

#[cfg(test)]
mod tests;
