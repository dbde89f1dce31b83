//! The list of resources. A new one is a file and two lines here.

mod agent;
mod agent_versions;
mod agents;
mod run;
mod run_logs;
mod run_metrics;
mod runs;
mod storage;
mod storages;
mod versions;

pub(crate) use run::last_change;

use super::{
    one_answer::{AnyAnswer, OneAnswer},
    persisted::Persisted,
    resource::Resource,
};
use crate::tree::{cache::Cache, node::Node};
use std::{fmt, sync::Arc};

/// A resource of the list.
pub(crate) trait Registered: Resource {
    /// Where its answers are held.
    fn cache(caches: &Caches) -> &Cache<Self::Key, Self::Value>;
    /// Its answer under a key.
    fn key(key: Self::Key) -> Key;
}

macro_rules! resources {
    ($($module:ident::$resource:ident,)*) => {
        $(pub(crate) use self::$module::$resource;)*

        /// One answer of one resource.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Key {
            $($resource(<$resource as Resource>::Key),)*
        }

        impl Key {
            /// The folder that shows the object among many of its kind.
            pub(crate) fn folder(&self) -> Option<Node> {
                match self {
                    $(Self::$resource(key) => $resource::folder(key),)*
                }
            }

            /// The run whose followers decide when a failed fetch is repeated.
            pub(crate) fn followed(&self) -> Option<&Arc<str>> {
                match self {
                    $(Self::$resource(key) => $resource::followed(key),)*
                }
            }

            /// Whether the service always has the answer.
            pub(crate) fn always_exists(&self) -> bool {
                match self {
                    $(Self::$resource(_) => $resource::ALWAYS_EXISTS,)*
                }
            }
        }

        /// In a user's words, for messages.
        impl fmt::Display for Key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$resource(key) => f.write_str(&$resource::title(key)),)*
                }
            }
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
            /// Does something with the answer of a key, of any resource.
            pub(super) fn with<T>(
                &self,
                persisted: &Persisted,
                key: &Key,
                act: impl FnOnce(&dyn AnyAnswer) -> T,
            ) -> T {
                match key {
                    $(Key::$resource(key) => act(&OneAnswer::<$resource> {
                        cache: &self.$module,
                        persisted,
                        key,
                    }),)*
                }
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

resources! {
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

#[cfg(test)]
mod tests;
