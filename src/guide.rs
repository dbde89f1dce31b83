//! The guide: pages of text that are shown in three places, here, by `vm0fs help
//! TOPIC`, and as files of each mount's `.vm0fs/help`.

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The topic: what a user types.
    pub name: &'static str,
    /// What it is about, in a few words.
    pub about: &'static str,
    /// Markdown.
    pub text: &'static str,
}

/// Defines a page for each topic, as a module of these docs and in [`PAGES`].
macro_rules! pages {
    ($($module:ident $name:literal $about:literal),* $(,)?) => {
        $(
            #[doc = include_str!(concat!("guide/", $name, ".md"))]
            pub mod $module {}
        )*

        /// All pages, in the order in which they are listed.
        pub const PAGES: &[Page] = &[
            $(Page {
                name: $name,
                about: $about,
                text: include_str!(concat!("guide/", $name, ".md")),
            }),*
        ];
    };
}

pages! {
    tree "tree" "what is where: files, names, times, modes, attributes",
    runs "runs" "start, follow and cancel runs; what a run's files show",
    settings "settings" "flags, environment, config.toml, proxies",
    startup "startup" "mounts at login or at boot: systemd, /etc/fstab",
    containers "containers" "Docker, podman, Kubernetes, user namespaces",
    consistency "consistency" "what is asked again, and when; without the network",
    cache "cache" "versions on disk, archives, holes, long names",
    parts "parts" "reading a file without its archive",
    diff "diff" "what two versions differ in, and the hash of each file",
    fleets "fleets" "a cache that many machines share: setup, key, cost, failures",
    workers "workers" "a mount that outlives its process: upgrades, limits, signals",
    file_managers "file-managers" "indexers, and what file managers cost",
    limits "limits" "how much of everything",
    security "security" "who is trusted with what, and what is promised",
    performance "performance" "how fast, and why",
    troubleshooting "troubleshooting" "what an error means and what to do",
}

/// The page of a topic.
pub fn page(name: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_has_a_title_and_leads_nowhere_that_is_not() {
        for page in PAGES {
            assert!(page.text.starts_with("# "), "{}", page.name);
            assert!(page.text.ends_with('\n') && !page.text.ends_with("\n\n"));
            assert!(!page.text.contains("](#"), "{} has a link", page.name);
            for named in page.text.split("`vm0fs help ").skip(1) {
                let topic = named.split('`').next().unwrap_or_default();
                assert!(super::page(topic).is_some(), "{}: {topic}", page.name);
            }
        }
    }
}
