//! No password reaches the screen, wherever on the command line it stands and whatever is wrong with it.

use super::*;

/// Every word of these that is not known to be harmless holds a part of the password, "hunter2".
#[test]
fn a_password_is_never_printed() {
    let urls = [
        "postgres://me:hunter2@h/x?colour=hunter2",
        "mysql://me:hun?ter2@db/x",
        "mysql://me:hun#ter2@db/x",
        "redis://cache/?auth=p@hunter2",
        "postgres:me:hunter2@db",
        "host=db user=me password=hunter2",
        "host=db:5432 password=hunter2",
        "me:hunter2",
    ];
    let home = Home::new();
    for url in urls {
        let equals = [format!("--lease-ms={url}"), format!("--stroe={url}")];
        let lines: [Vec<&str>; 6] = [
            vec!["status", "--store", url],
            vec!["run", "-e", "n", "--store", url, "--", "true"],
            vec!["status", url],
            vec!["run", "-e", "n", "--lease-ms", url, "--", "true"],
            vec!["run", "-e", "n", &equals[0], "--", "true"],
            vec!["status", &equals[1]],
        ];
        // Nothing in a word without any of these marks it as a URL in a place where none belongs.
        let lines = if url == "me:hunter2" { &lines[..2] } else { &lines[..] };
        for line in lines {
            let output = home.output(line);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{line:?}: {error}");
            assert!(!["hun", "ter2"].iter().any(|part| error.contains(part)), "{line:?}: {error}");
            assert_eq!(error.lines().count(), 1, "{line:?}: {error}");
        }
        let output = home.elector(&["status"]).env("ELECTOR_STORE", url).output().expect("elector");
        let error = text(&output.stderr);
        assert!(!["hun", "ter2"].iter().any(|part| error.contains(part)), "{url:?}: {error}");
    }
}
