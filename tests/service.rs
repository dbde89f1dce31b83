//! The service as it is, through a mount and the commands: servers that are no
//! v1 API, proxies, and the oddities of the running one.

mod foreign;
mod oddities;
mod proxies;
