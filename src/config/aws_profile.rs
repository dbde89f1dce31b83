//! The files of AWS's programs: `~/.aws/credentials` and `~/.aws/config`, for what the
//! environment does not say of a shared cache on S3.
//!
//! Read are the keys of a profile, its region and endpoint, and the role of a web identity.
//! What needs a program or a service of its own (`credential_process`, single sign-on,
//! roles of other profiles) is refused with a way around it.

use super::{environment::Environment, files};
use crate::{
    error::{Error, Result},
    text::{self, one_line},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The profile where none is named.
const DEFAULT: &str = "default";
/// Characters of a name in a message.
const SHOWN: usize = 200;

/// Settings of a profile and the variables that say the same. The first group leads to
/// credentials: all of it comes from one place.
const CREDENTIALS: [(&str, &str); 6] = [
    ("aws_access_key_id", "AWS_ACCESS_KEY_ID"),
    ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("aws_session_token", "AWS_SESSION_TOKEN"),
    ("web_identity_token_file", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    ("role_arn", "AWS_ROLE_ARN"),
    ("role_session_name", "AWS_ROLE_SESSION_NAME"),
];
/// What such settings are in a profile that vm0fs cannot use.
const FOREIGN: [&str; 5] = [
    "credential_process",
    "credential_source",
    "source_profile",
    "sso_session",
    "sso_start_url",
];

/// Variables that lead to credentials in other ways.
const ROLES: [&str; 4] = [
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_SKIP_SIGNATURE",
];

/// Where a file is that a variable can name; `None` where no home is known.
fn place(
    variable: &str,
    usual: &str,
    variables: &BTreeMap<String, String>,
    environment: &Environment,
) -> Option<PathBuf> {
    let own = variables.get(variable).filter(|value| !value.is_empty());
    match (own, &environment.home) {
        (Some(path), Some(home)) => Some(match path.strip_prefix("~/") {
            Some(rest) => home.join(rest),
            None => environment.current_dir.join(path),
        }),
        (Some(path), None) => Some(environment.current_dir.join(path)),
        (None, home) => home.as_ref().map(|home| home.join(usual)),
    }
}

/// Where the file of credentials is.
pub(super) fn credentials(
    variables: &BTreeMap<String, String>,
    environment: &Environment,
) -> Option<PathBuf> {
    let (variable, usual) = ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials");
    place(variable, usual, variables, environment)
}

/// Adds to the variables of AWS what the files say where they are silent.
///
/// # Errors
/// [`Error::Setup`] for a file that cannot be read, a profile that does not exist, and one
/// whose credentials cannot be had. No message shows what is in a file.
pub(super) fn complete(
    variables: &mut BTreeMap<String, String>,
    environment: &Environment,
) -> Result<()> {
    let named = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];
    let named = named.into_iter().find_map(|name| {
        let value = variables.get(name).filter(|value| !value.is_empty());
        value.map(|value| (name, value.clone()))
    });
    let profile = named.as_ref().map_or(DEFAULT, |(_, profile)| profile);
    let is_set = |name: &str| {
        let value = variables.get(name);
        value.is_some_and(|value| !value.is_empty())
    };
    let has_own = is_set("AWS_ACCESS_KEY_ID")
        || is_set("AWS_SECRET_ACCESS_KEY")
        || is_set("AWS_WEB_IDENTITY_TOKEN_FILE");
    let credentials = credentials(variables, environment);
    let config = place("AWS_CONFIG_FILE", ".aws/config", variables, environment);
    let mut settings = None;
    // What both say is that of the first.
    for (path, in_config) in [(&credentials, false), (&config, true)] {
        let Some(path) = path else { continue };
        let (text, mode) = match files::read(path) {
            Ok(Some(read)) => read,
            Ok(None) => continue,
            // It is not asked for: a program that runs as another user has that one's home.
            Err(_) if has_own && named.is_none() => continue,
            Err(error) => return Err(error),
        };
        if let Some(found) = profile_of(path, &text, profile, in_config)? {
            if found.contains_key("aws_secret_access_key") {
                files::warn_if_open(path, mode, "secret");
            }
            let all = settings.get_or_insert_with(BTreeMap::new);
            for (key, value) in found {
                all.entry(key).or_insert(value);
            }
        }
    }
    let shown = |path: &Option<PathBuf>| {
        let path = path.as_ref().map(|path| path.to_string_lossy());
        one_line(&path.unwrap_or("~/.aws".into()), SHOWN)
    };
    let Some(settings) = settings else {
        return match named {
            None => Ok(()),
            Some((variable, profile)) => Err(Error::Setup(format!(
                "{variable}: there is no profile {:?} in {} or {}",
                one_line(&profile, SHOWN),
                shown(&credentials),
                shown(&config)
            ))),
        };
    };
    let mut add = Vec::new();
    if !has_own {
        let is_usable = settings.contains_key("aws_access_key_id")
            || settings.contains_key("web_identity_token_file");
        let foreign = FOREIGN.iter().find(|key| settings.contains_key(**key));
        if let Some(foreign) =
            foreign.filter(|_| !is_usable && !ROLES.iter().any(|name| is_set(name)))
        {
            return Err(Error::Setup(format!(
                "the profile {:?} of AWS uses {foreign} for credentials, which vm0fs does not \
                 support; have AWS's program write them into the environment: \
                 eval \"$(aws configure export-credentials --profile NAME --format env)\"",
                one_line(profile, SHOWN)
            )));
        }
        add.extend(CREDENTIALS);
    }
    if !is_set("AWS_REGION") && !is_set("AWS_DEFAULT_REGION") {
        add.push(("region", "AWS_REGION"));
    }
    if !is_set("AWS_ENDPOINT_URL") && !is_set("AWS_ENDPOINT_URL_S3") {
        add.push(("endpoint_url", "AWS_ENDPOINT_URL"));
    }
    for (key, variable) in add {
        if let Some(value) = settings.get(key) {
            variables.insert(variable.to_owned(), value.clone());
        }
    }
    Ok(())
}

/// The settings of a profile, if the file has it: lines `[NAME]` (in `config`
/// `[profile NAME]`, but for the default one), then `key = value`. Lines that are indented
/// belong to a setting that vm0fs does not use.
fn profile_of(
    path: &Path,
    text: &str,
    wanted: &str,
    in_config: bool,
) -> Result<Option<BTreeMap<String, String>>> {
    let mut found: Option<BTreeMap<String, String>> = None;
    let mut is_here = false;
    for (line, number) in text.lines().zip(1..) {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            continue;
        }
        if let Some(head) = content.strip_prefix('[') {
            let name = head.split_once(']').map(|(name, _)| name.trim());
            let name = name.ok_or_else(|| malformed(path, number))?;
            is_here = is_named(name, wanted, in_config);
            if is_here {
                found.get_or_insert_default();
            }
            continue;
        }
        let (key, value) = content
            .split_once('=')
            .ok_or_else(|| malformed(path, number))?;
        if let Some(found) = found.as_mut().filter(|_| is_here) {
            let value = without_comment(value.trim());
            found.insert(key.trim().to_ascii_lowercase(), value.to_owned());
        }
    }
    Ok(found)
}

/// Whether the head of a section is that of a profile.
fn is_named(head: &str, wanted: &str, in_config: bool) -> bool {
    let name = match (in_config, head.split_once([' ', '\t'])) {
        (true, Some(("profile", name))) => name.trim(),
        (true, _) if head == DEFAULT => head,
        (true, _) => return false,
        (false, _) => head,
    };
    name.trim_matches(['"', '\'']) == wanted
}

/// A value up to a `#` or `;` behind white space.
fn without_comment(value: &str) -> &str {
    let mark = [" #", " ;", "\t#", "\t;"];
    let end = mark.iter().filter_map(|mark| value.find(mark)).min();
    value[..end.unwrap_or(value.len())].trim_end()
}

fn malformed(path: &Path, line: u32) -> Error {
    Error::Setup(format!(
        "{}: line {line} is neither [NAME] nor KEY = VALUE",
        text::shown(path)
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    /// What becomes of these variables beside these two files.
    fn completed(
        credentials: &str,
        config: &str,
        variables: &[(&str, &str)],
    ) -> Result<BTreeMap<String, String>> {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".aws")).unwrap();
        for (name, text) in [("credentials", credentials), ("config", config)] {
            if !text.is_empty() {
                fs::write(home.path().join(".aws").join(name), text).unwrap();
            }
        }
        let environment = Environment {
            home: Some(home.path().to_owned()),
            current_dir: "/".into(),
            ..Environment::default()
        };
        let own = variables.iter();
        let mut all = own
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        complete(&mut all, &environment)?;
        Ok(all)
    }

    const CREDENTIALS_FILE: &str = "# made by hand
[default]
aws_access_key_id = one
aws_secret_access_key=s3cr=t/+  # its key
[other]
AWS_Access_Key_Id=two
aws_secret_access_key = hidden
aws_session_token = session
region = from-credentials
";
    const CONFIG_FILE: &str = "[default]
region = eu-1
s3 =
  addressing_style = path
  aws_access_key_id = nested
[profile other]
region = eu-2
endpoint_url = https://s3.example

[profile sso]
sso_start_url = https://hidden.example
[profile \"web id\"]
role_arn = arn:role
web_identity_token_file = /token
; the end
";

    fn get<'a>(all: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
        all.get(name).map(String::as_str)
    }

    #[test]
    fn profiles_say_what_the_environment_does_not() {
        let of = |variables: &[(&str, &str)]| {
            completed(CREDENTIALS_FILE, CONFIG_FILE, variables).unwrap()
        };
        let default = of(&[]);
        assert_eq!(get(&default, "AWS_ACCESS_KEY_ID"), Some("one"));
        assert_eq!(get(&default, "AWS_SECRET_ACCESS_KEY"), Some("s3cr=t/+"));
        assert_eq!(get(&default, "AWS_REGION"), Some("eu-1"));
        assert_eq!(get(&default, "AWS_SESSION_TOKEN"), None);
        let other = of(&[("AWS_PROFILE", "other")]);
        assert_eq!(get(&other, "AWS_ACCESS_KEY_ID"), Some("two"));
        assert_eq!(get(&other, "AWS_SESSION_TOKEN"), Some("session"));
        assert_eq!(get(&other, "AWS_REGION"), Some("from-credentials"));
        assert_eq!(get(&other, "AWS_ENDPOINT_URL"), Some("https://s3.example"));
        // Credentials come from one place; the rest may come from another.
        let own = of(&[
            ("AWS_PROFILE", "other"),
            ("AWS_ACCESS_KEY_ID", "mine"),
            ("AWS_ENDPOINT_URL_S3", "https://mine.example"),
        ]);
        assert_eq!(get(&own, "AWS_ACCESS_KEY_ID"), Some("mine"));
        assert_eq!(get(&own, "AWS_SECRET_ACCESS_KEY"), None);
        assert_eq!(get(&own, "AWS_SESSION_TOKEN"), None);
        assert_eq!(get(&own, "AWS_ENDPOINT_URL"), None);
        assert_eq!(get(&own, "AWS_REGION"), Some("from-credentials"));
        let web = of(&[("AWS_PROFILE", "web id")]);
        assert_eq!(get(&web, "AWS_ROLE_ARN"), Some("arn:role"));
        assert_eq!(get(&web, "AWS_WEB_IDENTITY_TOKEN_FILE"), Some("/token"));
    }

    #[test]
    fn without_files_or_profile_nothing_changes() {
        assert!(completed("", "", &[]).unwrap().is_empty());
        assert!(completed("[x]\na=b", "", &[]).unwrap().is_empty());
        // A section of that name is no profile in `config`.
        let no_profile = completed("", "[other]\nregion=x", &[("AWS_PROFILE", "other")]);
        let error = no_profile.unwrap_err().to_string();
        assert!(error.contains("no profile \"other\" in"), "{error}");
    }

    #[test]
    fn what_cannot_be_used_is_said_without_what_is_in_it() {
        let of = |variables: &[(&str, &str)]| completed(CREDENTIALS_FILE, CONFIG_FILE, variables);
        let error = of(&[("AWS_PROFILE", "sso")]).unwrap_err().to_string();
        assert!(error.contains("sso_start_url") && error.contains("export-credentials"));
        assert!(!error.contains("hidden"), "{error}");
        let role = [
            ("AWS_PROFILE", "sso"),
            ("AWS_EC2_METADATA_DISABLED", "false"),
        ];
        assert!(of(&role).is_ok(), "there is another way");
        for text in ["[default]\nhidden", "[hidden"] {
            let error = completed(text, "", &[]).unwrap_err().to_string();
            let line = text.lines().count();
            assert!(
                error.contains(&format!("line {line} is neither")),
                "{error}"
            );
            assert!(!error.contains("hidden"), "{error}");
        }
    }

    #[test]
    fn the_files_can_be_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        fs::write(&path, "[default]\naws_access_key_id = moved").unwrap();
        let all = completed(
            CREDENTIALS_FILE,
            "",
            &[("AWS_SHARED_CREDENTIALS_FILE", path.to_str().unwrap())],
        );
        assert_eq!(get(&all.unwrap(), "AWS_ACCESS_KEY_ID"), Some("moved"));
        let tilde = completed(
            CREDENTIALS_FILE,
            "",
            &[("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")],
        );
        assert_eq!(get(&tilde.unwrap(), "AWS_ACCESS_KEY_ID"), Some("one"));
    }
}
