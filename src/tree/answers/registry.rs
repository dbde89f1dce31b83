//! The list of resources: a line each.

use super::{
    agent::Agent,
    agent_versions::AgentVersions,
    agents::Agents,
    one_answer::{AnyAnswer, OneAnswer},
    persisted::Persisted,
    resource::Resource,
    run::Run,
    run_logs::RunLogs,
    run_metrics::RunMetrics,
    runs::Runs,
    storage::Storage,
    storages::Storages,
    versions::Versions,
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
    ($($resource:ident in $cache:ident,)*) => {
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
            $($cache: Cache<<$resource as Resource>::Key, <$resource as Resource>::Value>,)*
        }

        impl Default for Caches {
            fn default() -> Self {
                Self {
                    $($cache: Cache::new($resource::BOUNDS),)*
                }
            }
        }

        impl Caches {
            /// Does something with the answer of a key, whatever its resource.
            pub(super) fn with<T>(
                &self,
                persisted: &Persisted,
                key: &Key,
                act: impl FnOnce(&dyn AnyAnswer) -> T,
            ) -> T {
                match key {
                    $(Key::$resource(key) => act(&OneAnswer::<$resource> {
                        cache: &self.$cache,
                        persisted,
                        key,
                    }),)*
                }
            }
        }

        $(impl Registered for $resource {
            fn cache(caches: &Caches) -> &Cache<Self::Key, Self::Value> {
                &caches.$cache
            }

            fn key(key: Self::Key) -> Key {
                Key::$resource(key)
            }
        })*
    };
}

resources! {
    Agents in agents,
    Agent in agent,
    AgentVersions in agent_versions,
    Runs in runs,
    Run in run,
    RunLogs in run_logs,
    RunMetrics in run_metrics,
    Storages in storages,
    Storage in storage,
    Versions in versions,
}
