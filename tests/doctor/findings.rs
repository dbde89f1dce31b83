//! What a machine or a service can lack, one thing at a time.

use super::{OWN_ETC, alone, line, tells};
use crate::support::fake::{Action, Fault};
use crate::{
    commands::small_world,
    support::{Bench, Who},
};
use std::fs;

fn bench() -> Bench {
    Bench::new(small_world())
}

/// Shell: `/dev` without `/dev/fuse`.
const NO_DEVICE: &str = "mkdir $DIR/dev; for name in null zero urandom; do
        touch $DIR/dev/$name; mount --bind /dev/$name $DIR/dev/$name; done
    mount --rbind $DIR/dev /dev; ";

#[test]
#[ignore = "needs root"]
fn doctor_reports_a_missing_or_closed_fuse_device() {
    let bench = bench();
    for who in Who::all() {
        let said = alone(&bench, who, &format!("{NO_DEVICE} vm0fs doctor"));
        assert_eq!(said.code, Some(1), "{said:?}");
        tells(
            &said,
            "fail",
            "/dev/fuse",
            &["missing", "modprobe fuse", "--device /dev/fuse"],
        );
        fs::remove_dir_all(bench.dir().join(format!("alone-{who:?}/dev"))).unwrap();
    }
    let closed = "touch $DIR/fuse; chmod 0600 $DIR/fuse; mount --bind $DIR/fuse /dev/fuse; ";
    let said = alone(&bench, Who::Ordinary, &format!("{closed} vm0fs doctor"));
    tells(
        &said,
        "fail",
        "/dev/fuse",
        &["may not open it", "chmod 0666"],
    );
}

#[test]
#[ignore = "needs root"]
fn doctor_reports_a_missing_right_to_mount() {
    let bench = bench();
    let said = alone(
        &bench,
        Who::Ordinary,
        "export PATH=/nowhere; /usr/bin/setpriv --reuid \
        $WHO --regid $WHO --clear-groups $VM0FS doctor",
    );
    assert_eq!(said.code, Some(1), "{said:?}");
    tells(
        &said,
        "fail",
        "fusermount3",
        &["not found in PATH", "package fuse3"],
    );
    let script = "as setpriv --no-new-privs $VM0FS doctor";
    let said = alone(&bench, Who::Ordinary, script);
    tells(
        &said,
        "fail",
        "fusermount3",
        &["no_new_privs", "NoNewPrivileges"],
    );
    let script = "setpriv --bounding-set -sys_admin $VM0FS doctor";
    let said = alone(&bench, Who::Myself, script);
    tells(
        &said,
        "fail",
        "right to mount",
        &["CAP_SYS_ADMIN", "--cap-add SYS_ADMIN"],
    );
}

#[test]
#[ignore = "needs root"]
fn doctor_reports_a_missing_user_allow_other() {
    let bench = bench();
    let config = "as mkdir -p $HOME/.config/vm0fs
        echo 'allow-other = true' | as tee $HOME/.config/vm0fs/config.toml > /dev/null; ";
    let script = format!(
        "{OWN_ETC} {config} echo > /etc/fuse.conf; vm0fs doctor
        echo user_allow_other > /etc/fuse.conf; vm0fs doctor"
    );
    let said = alone(&bench, Who::Ordinary, &script);
    tells(
        &said,
        "fail",
        "user_allow_other",
        &["add the line user_allow_other to /etc/fuse.conf"],
    );
    tells(&said, "ok", "user_allow_other", &["set in /etc/fuse.conf"]);
}

#[test]
#[ignore = "needs root"]
fn doctor_asks_the_shared_cache() {
    let bench = bench();
    let script = "export VM0FS_SHARED_CACHE=file://$DIR/fleet
        vm0fs doctor; as mkdir $DIR/fleet; vm0fs doctor
        VM0FS_SHARED_CACHE=s3://bucket/fleet AWS_ENDPOINT_URL_STS=http://sts.example \
            AWS_ACCESS_KEY_ID=id AWS_SECRET_ACCESS_KEY=secret vm0fs doctor";
    for who in Who::all() {
        let said = alone(&bench, who, script);
        let missing = ["No such file", "mounts work without it"];
        tells(&said, "warn", "shared cache", &missing);
        tells(&said, "ok", "shared cache", &["fleet answers, in"]);
        let plain = ["AWS_ENDPOINT_URL_STS is not an https://", "does not start"];
        tells(&said, "fail", "shared cache", &plain);
        // Of a mount, whose settings may be others.
        let script = "VM0FS_SHARED_CACHE=file://$DIR/none mounted
            as cat $MNT/artifacts/site/latest/index.html; vm0fs doctor";
        let said = alone(&bench, who, script);
        let fails = ["its shared cache fails: ", "No such file"];
        tells(&said, "warn", "mount ", &fails);
    }
}

#[test]
#[ignore = "needs root"]
fn doctor_reports_an_updatedb_that_indexes_mounts() {
    let bench = bench();
    let script = format!(
        "{OWN_ETC} echo 'PRUNEFS=\"NFS fuse.sshfs\"' > /etc/updatedb.conf
        vm0fs doctor; sed -i 's/sshfs/sshfs fuse.vm0fs/' /etc/updatedb.conf; vm0fs doctor"
    );
    let said = alone(&bench, Who::Myself, &script);
    tells(
        &said,
        "warn",
        "updatedb",
        &["PRUNEFS=\"NFS fuse.sshfs fuse.vm0fs\""],
    );
    tells(&said, "ok", "updatedb", &["leaves mounts of vm0fs out"]);
}

#[test]
#[ignore = "needs root"]
fn doctor_reports_bad_settings_and_tokens() {
    let bench = bench();
    for who in Who::all() {
        let said = alone(&bench, who, "unset VM0_API_KEY; vm0fs doctor");
        assert_eq!(said.code, Some(1), "{said:?}");
        tells(
            &said,
            "fail",
            "settings",
            &["no API token", "vm0 auth login", "--token-file"],
        );
        // The rest is looked at all the same.
        line(&said, "ok", "cache folder");
        let said = alone(
            &bench,
            who,
            "export VM0_API_KEY=vm0_live_wrong; vm0fs doctor",
        );
        assert_eq!(said.code, Some(1), "{said:?}");
        tells(&said, "ok", "API", &["answers, in "]);
        tells(
            &said,
            "fail",
            "token",
            &[
                "refuses it (HTTP 401: Invalid API key provided)",
                "vm0 auth login",
            ],
        );
        assert!(!said.out.contains("vm0_live_wrong"), "{said:?}");
        let config = "as mkdir -p $HOME/.config/vm0fs
            echo 'cache-size = \"much\"' | as tee $HOME/.config/vm0fs/config.toml > /dev/null; ";
        let said = alone(&bench, who, &format!("{config} vm0fs doctor"));
        tells(
            &said,
            "fail",
            "settings",
            &["cache-size", "\"much\" is not a size"],
        );
    }
}

#[test]
#[ignore = "needs root"]
fn doctor_reports_a_failing_service_and_a_wrong_clock() {
    let bench = bench();
    let doctor = |words: &str| alone(&bench, Who::Ordinary, &format!("vm0fs doctor {words}"));
    let said = doctor("--api-url http://127.0.0.1:1");
    assert_eq!(said.code, Some(1), "{said:?}");
    tells(
        &said,
        "fail",
        "API",
        &["refused", "--api-url", "HTTPS_PROXY"],
    );
    tells(&said, "warn", "token", &["not known to be good"]);
    let said = doctor("--api-url http://198.51.100.7");
    tells(&said, "fail", "API", &["--allow-http"]);

    let fault = |action: Action| {
        bench.server.clear_faults();
        bench.server.fault(Fault::api("/v1/agents", action));
    };
    fault(Action::internal_error());
    tells(&doctor(""), "fail", "API", &["HTTP 500", "try again later"]);
    fault(Action::rate_limited(1800));
    let said = doctor("");
    assert_eq!(said.code, Some(0), "{said:?}");
    tells(&said, "warn", "API", &["HTTP 429", "rate limit"]);
    fault(Action::Stall);
    tells(&doctor("--timeout 1s"), "fail", "API", &["network"]);
    fault(Action::Status {
        status: 200,
        body: "{\"data\": [], \"pagination\": {\"has_more\": false}}".into(),
        content_type: "application/json".into(),
        headers: vec![("Date".into(), "Tue, 21 Oct 2025 07:28:00 GMT".into())],
    });
    let said = doctor("");
    tells(&said, "ok", "token", &["takes it"]);
    tells(
        &said,
        "warn",
        "clock",
        &["ahead of the API's", "timedatectl"],
    );
    bench.server.clear_faults();

    bench.server.clear_requests();
    let config = "as mkdir -p $HOME/.config/vm0fs
        echo 'offline = true' | as tee $HOME/.config/vm0fs/config.toml > /dev/null; ";
    let said = alone(&bench, Who::Ordinary, &format!("{config} vm0fs doctor"));
    tells(&said, "ok", "API", &["not asked", "offline"]);
    assert!(bench.api_calls().is_empty());
}

#[test]
#[ignore = "needs root"]
fn doctor_reports_an_unusable_cache() {
    let bench = bench();
    for who in Who::all() {
        let script = "mounted; vm0fs prefetch $MNT/artifacts/site/latest
            for tree in $HOME/.cache/vm0fs/v1/versions/*/tree; do : > $tree; done
            for meta in $HOME/.cache/vm0fs/v1/versions/*/meta.json; do : > $meta; done
            vm0fs doctor; vm0fs cache verify --fix > /dev/null; vm0fs doctor";
        let said = alone(&bench, who, script);
        tells(
            &said,
            "warn",
            "cache:",
            &["broken: 1", "vm0fs cache verify --fix"],
        );
        tells(&said, "ok", "cache:", &["versions: 0"]);
    }
    let script = "mkdir $DIR/other; chmod 0700 $DIR/other; vm0fs doctor --cache-dir $DIR/other";
    let said = alone(&bench, Who::Ordinary, script);
    assert_eq!(said.code, Some(1), "{said:?}");
    tells(
        &said,
        "fail",
        "cache folder",
        &["belongs to another user (0)", "chown"],
    );
}

#[test]
#[ignore = "needs root"]
fn doctor_reports_a_full_disk() {
    let bench = bench();
    let script = "as mkdir -p $HOME/.cache/vm0fs
        mount -t tmpfs -o size=9m,mode=0700,uid=$(id -u $WHO) small $HOME/.cache/vm0fs
        echo 'cache-size = \"1GiB\"' > $DIR/config.toml; as mkdir -p $HOME/.config/vm0fs
        as cp $DIR/config.toml $HOME/.config/vm0fs/config.toml; vm0fs doctor";
    let said = alone(&bench, Who::Ordinary, script);
    assert_eq!(said.code, Some(1), "{said:?}");
    tells(
        &said,
        "fail",
        "free space",
        &["9.0 MiB on the cache's disk", "--cache-dir"],
    );
}

#[test]
#[ignore = "needs root"]
fn doctor_reports_a_full_disk_where_its_share_is_the_cache_s_size() {
    let bench = bench();
    let script = "as mkdir -p $HOME/.cache/vm0fs
        mount -t tmpfs -o size=1m,mode=0700,uid=$(id -u $WHO) small $HOME/.cache/vm0fs
        as sh -c 'cat /dev/zero > $HOME/.cache/vm0fs/fill'; vm0fs doctor";
    for who in Who::all() {
        let said = alone(&bench, who, script);
        assert_eq!(said.code, Some(1), "{said:?}");
        tells(
            &said,
            "fail",
            "free space",
            &["0 B on the cache's disk", "free some", "--cache-dir"],
        );
        // What needs no room is looked at all the same.
        tells(&said, "ok", "token", &["takes it"]);
    }
}

#[test]
#[ignore = "needs root"]
fn doctor_reports_folders_that_cannot_be_made() {
    let bench = bench();
    let said = alone(
        &bench,
        Who::Ordinary,
        "export HOME=/nonexistent; vm0fs doctor",
    );
    let denied = ["cannot be made: /: Permission denied", "--cache-dir"];
    assert_eq!(said.code, Some(1), "{said:?}");
    tells(&said, "fail", "cache folder", &denied);
    tells(&said, "fail", "log folder", &denied);
    let script = "mount --bind $HOME $HOME; mount -o remount,bind,ro $HOME; vm0fs doctor";
    for who in Who::all() {
        let said = alone(&bench, who, script);
        assert_eq!(said.code, Some(1), "{said:?}");
        let read_only = ["cannot be made", "Read-only file system", "set HOME"];
        tells(&said, "fail", "cache folder", &read_only);
        tells(&said, "fail", "log folder", &read_only);
    } // A file in the way, also one that is a program, and a link that leads nowhere.
    let script = "as touch $HOME/.cache; as chmod 0755 $HOME/.cache
        as ln -s $DIR/gone $HOME/.local; vm0fs doctor";
    for who in Who::all() {
        let said = alone(&bench, who, script);
        assert_eq!(said.code, Some(1), "{said:?}");
        let cannot = |what| ["cannot be made", what, "move that away", "--cache-dir"];
        let words = cannot(".cache is not a folder");
        tells(&said, "fail", "cache folder", &words);
        let words = cannot(".local is a link that leads nowhere");
        tells(&said, "fail", "log folder", &words);
    }
}

#[test]
#[ignore = "needs root"]
fn doctor_reports_secrets_that_others_may_read() {
    let bench = bench();
    let script = "as mkdir -p $HOME/.vm0; umask 077
        echo '{\"token\": \"x\"}' | as tee $HOME/.vm0/config.json > /dev/null
        echo $VM0_API_KEY | as tee $DIR/token > /dev/null; unset VM0_API_KEY
        vm0fs doctor --token-file $DIR/token
        as chmod 604 $HOME/.vm0/config.json; as chmod 640 $DIR/token
        vm0fs doctor --token-file $DIR/token
        vm0fs doctor --report --token-file $DIR/token > $DIR/report";
    for who in Who::all() {
        let said = alone(&bench, who, script);
        assert_eq!(said.code, Some(0), "{said:?}");
        for (subject, file) in [
            ("token file", "/token"),
            ("vm0 CLI's login", "/.vm0/config.json"),
        ] {
            let alone = format!("{file} is for its user alone");
            tells(&said, "ok", subject, &[&alone]);
            let open = line(&said, "warn", subject);
            let path = open.rsplit("chmod 600 ").next().unwrap();
            assert!(path.starts_with('/') && path.ends_with(file), "{open}");
            assert!(open.contains("other users may read"), "{open}");
        }
        // Once.
        assert!(!said.err.contains("other users may read"), "{said:?}");
    }
}
