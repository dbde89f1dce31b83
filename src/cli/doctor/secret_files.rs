//! Checks that the files which hold secrets are for their user alone.

use super::check::Check;
use crate::{
    config::{self, Environment, MountOptions, SecretFile},
    text::shell_path,
};

/// A line for each of these files that there is. Where settings are bad, that is told of them.
pub(super) fn check(options: &MountOptions, environment: &Environment) -> Vec<Check> {
    let files = config::secret_files(options, environment).unwrap_or_default();
    let check = |file: SecretFile| {
        let shown = file.path.display();
        let check = match file.is_open {
            true => Check::warn(
                format!("other users may read {shown}"),
                format!("chmod 600 {}", shell_path(&file.path)),
            ),
            false => Check::ok(format!("{shown} is for its user alone")),
        };
        check.of(file.what)
    };
    files.into_iter().map(check).collect()
}
