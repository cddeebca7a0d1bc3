//! A process without file descriptors cannot read a password, look a name up or connect: it says so, is no
//! refusal, and tries again.

use std::os::unix::fs::PermissionsExt;

use crate::sweep::{as_a_child, sweep};
use elector_kit::cluster::{Cluster, Release};

/// The host's name is looked up in files, certificates are looked for in folders, and the password is in a
/// file.
#[test]
fn a_server_is_not_blamed_for_descriptors_that_are_missing() {
    if as_a_child() {
        return;
    }
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
    sweep("server::a_server_is_not_blamed_for_descriptors_that_are_missing", |_| url.clone());
}
