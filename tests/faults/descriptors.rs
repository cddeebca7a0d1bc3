//! A process without file descriptors: each attempt to open a store says so, is no refusal, and works once
//! there are some again.

use crate::sweep::{as_a_child, sweep};

#[test]
fn a_file_is_not_blamed_for_descriptors_that_are_missing() {
    if as_a_child() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |left| format!("sqlite:{}", folder.path().join(format!("{left}.db")).display());
    sweep("descriptors::a_file_is_not_blamed_for_descriptors_that_are_missing", path);
}

/// The host's name is looked up in files, certificates are looked for in folders, and the password is in a
/// file.
#[cfg(feature = "postgres")]
#[test]
fn a_server_is_not_blamed_for_descriptors_that_are_missing() {
    if as_a_child() {
        return;
    }
    use std::os::unix::fs::PermissionsExt;

    use elector_kit::cluster::{Cluster, Release};

    let hba = "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all all all scram-sha-256\n";
    let cluster = Cluster::plan(Release::System).hba(hba).start();
    cluster
        .session()
        .run("CREATE ROLE worker LOGIN PASSWORD 'secret'; CREATE SCHEMA worker AUTHORIZATION worker");
    let folder = tempfile::tempdir().unwrap();
    let passfile = folder.path().join("passwords");
    std::fs::write(&passfile, "*:*:*:worker:secret\n").unwrap();
    std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (port, passfile) = (cluster.port(), passfile.display());
    let url = format!("postgres://worker@localhost:{port}/postgres?schema=worker&passfile={passfile}");
    sweep("descriptors::a_server_is_not_blamed_for_descriptors_that_are_missing", |_| url.clone());
}
