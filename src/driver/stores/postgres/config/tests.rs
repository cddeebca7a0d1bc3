use super::*;

/// Parses with the given environment only. The system's user is `os`, and no file exists.
fn parse_in(text: &str, environment: &[(&str, &str)]) -> Result<PostgresUrl, String> {
    let variable =
        |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let user = || Some("os".to_owned());
    let environment = Environment { variable: &variable, user: &user, exists: &|_| false };
    PostgresUrl::complete(uri::parse(text)?, &environment)
}

fn parse(text: &str) -> PostgresUrl {
    parse_in(text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn hosts(url: &PostgresUrl) -> Vec<String> {
    url.servers.iter().map(ToString::to_string).collect()
}

#[test]
fn missing_keys_have_the_documented_defaults() {
    let url = parse("postgres://");
    assert_eq!(hosts(&url), ["localhost:5432"]);
    assert_eq!((url.user.as_str(), url.database.as_str(), url.password.as_deref()), ("os", "os", None));
    assert_eq!((url.tls.mode, url.channel_binding), (SslMode::Prefer, ChannelBinding::Prefer));
    assert_eq!(url.connect_timeout, Some(Duration::from_secs(5)));
    assert_eq!((url.application_name.as_str(), url.schema.as_str()), ("elector", "public"));
    assert_eq!((url.read_write, url.if_missing, url.statements), (true, IfMissing::Create, None));
    assert_eq!(url.tcp_user_timeout, Some(Duration::from_secs(10)));
    assert_eq!(parse("postgres://me@db").database, "me");
}

#[test]
fn a_local_server_is_found_by_its_socket() {
    let exists = |path: &Path| path == Path::new("/tmp/.s.PGSQL.5433");
    let environment = Environment { variable: &|_| None, user: &|| Some("os".to_owned()), exists: &exists };
    let find = |text: &str| PostgresUrl::complete(uri::parse(text).unwrap(), &environment).unwrap();
    assert!(find("postgres://:5433").servers[0].is_socket());
    assert_eq!(hosts(&find("postgres://:5433")), ["/tmp:5433"]);
    assert_eq!(hosts(&find("postgres://")), ["localhost:5432"]);
}

#[test]
fn every_key_is_read() {
    let url = parse(
        "postgres://me:pw@db/app?sslmode=verify-full&sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem\
         &connect_timeout=0&application_name=jobs&target_session_attrs=any&options=-c%20a%3Db&keepalives=0\
         &tcp_user_timeout=0&channel_binding=require&schema=My%20Schema&create_table=false&prepare=false\
         &passfile=/pass",
    );
    assert_eq!((url.password.as_deref(), url.database.as_str()), (Some("pw"), "app"));
    assert_eq!(url.tls.mode, SslMode::VerifyFull);
    assert_eq!(url.tls.roots, Some(RootCert::File("/ca.pem".into())));
    assert_eq!((url.tls.certificate.as_deref(), url.tls.key.as_deref()), {
        (Some(Path::new("/c.pem")), Some(Path::new("/k.pem")))
    });
    assert_eq!((url.connect_timeout, url.tcp_user_timeout, url.keepalives), (None, None, None));
    assert_eq!((url.application_name.as_str(), url.options.as_deref()), ("jobs", Some("-c a=b")));
    let unnamed = Some(Statements::Unnamed);
    assert_eq!((url.read_write, url.if_missing, url.statements), (false, IfMissing::Leave, unnamed));
    assert_eq!((url.schema.as_str(), url.channel_binding), ("My Schema", ChannelBinding::Require));
    assert_eq!(url.passfile.as_deref(), Some(Path::new("/pass")));
    let keepalives = parse("postgres://db?keepalives_idle=7&keepalives_interval=8&keepalives_count=9");
    let (idle, interval) = (Duration::from_secs(7), Duration::from_secs(8));
    assert_eq!(keepalives.keepalives, Some(Keepalives { idle, interval, count: 9 }));
}

#[test]
fn hosts_have_their_own_ports_and_addresses() {
    assert_eq!(hosts(&parse("postgres://a,b:5433,[::1]:1/x")), ["a:5432", "b:5433", "[::1]:1"]);
    assert_eq!(hosts(&parse("postgres://a,b/x?port=6000")), ["a:6000", "b:6000"]);
    let url = parse("postgres://a,b/x?hostaddr=10.0.0.1,::1&port=1,2");
    assert_eq!(url.servers[1].address, Some("::1".parse().unwrap()));
    assert_eq!(hosts(&url), ["a:1", "b:2"]);
    assert_eq!(hosts(&parse("postgres://?hostaddr=10.0.0.1")), ["10.0.0.1:5432"]);
}

#[test]
fn keys_that_the_url_lacks_come_from_the_environment() {
    let environment = [
        ("PGHOST", "env-host"),
        ("PGHOSTADDR", "10.0.0.1"),
        ("PGPORT", "6000"),
        ("PGUSER", "env-user"),
        ("PGPASSWORD", "env-password"),
        ("PGDATABASE", "env-db"),
        ("PGSSLMODE", "require"),
        ("PGSSLROOTCERT", "/env-ca.pem"),
        ("PGSSLCERT", "/env-cert.pem"),
        ("PGSSLKEY", "/env-key.pem"),
        ("PGCONNECT_TIMEOUT", "9"),
        ("PGAPPNAME", "env-app"),
        ("PGTARGETSESSIONATTRS", "any"),
        ("PGOPTIONS", "-c x=y"),
        ("PGPASSFILE", "/env-pass"),
        ("HOME", "/home-of-me"),
    ];
    let url = parse_in("postgres://", &environment).unwrap();
    assert_eq!(hosts(&url), ["env-host:6000"]);
    assert_eq!(url.servers[0].address, Some("10.0.0.1".parse().unwrap()));
    assert_eq!((url.user.as_str(), url.password.as_deref()), ("env-user", Some("env-password")));
    assert_eq!((url.database.as_str(), url.tls.mode), ("env-db", SslMode::Require));
    assert_eq!(url.tls.roots, Some(RootCert::File("/env-ca.pem".into())));
    assert_eq!(url.tls.certificate.as_deref(), Some(Path::new("/env-cert.pem")));
    assert_eq!(url.tls.key.as_deref(), Some(Path::new("/env-key.pem")));
    assert_eq!(url.tls.defaults.as_deref(), Some(Path::new("/home-of-me/.postgresql")));
    assert_eq!((url.connect_timeout, url.read_write), (Some(Duration::from_secs(9)), false));
    assert_eq!((url.application_name.as_str(), url.options.as_deref()), ("env-app", Some("-c x=y")));
    assert_eq!(url.passfile.as_deref(), Some(Path::new("/env-pass")));

    let url = parse_in("postgres://me:pw@db:7/app?sslmode=disable&application_name=a", &environment).unwrap();
    assert_eq!(hosts(&url), ["db:7"]);
    assert_eq!(url.servers[0].address, None, "PGHOSTADDR belongs to PGHOST");
    assert_eq!((url.user.as_str(), url.password.as_deref()), ("me", Some("pw")));
    assert_eq!((url.database.as_str(), url.tls.mode), ("app", SslMode::Disable));
    assert_eq!(url.application_name, "a");
    let home = parse_in("postgres://", &[("HOME", "/home-of-me")]).unwrap();
    assert_eq!(home.passfile.as_deref(), Some(Path::new("/home-of-me/.pgpass")));
}

/// Environments that work with psql must work here, unless they set something unsupported.
#[test]
fn keys_of_libpq_that_change_nothing_here_are_accepted() {
    let environment =
        [("PGSSLMODE", "allow"), ("PGTARGETSESSIONATTRS", "primary"), ("PGGSSENCMODE", "prefer")];
    let url = parse_in("postgres://db?gssencmode=disable", &environment).unwrap();
    assert_eq!((url.tls.mode, url.read_write), (SslMode::Prefer, true));
    let refusal = parse_in("postgres://db", &[("PGGSSENCMODE", "require")]).unwrap_err();
    assert!(refusal.contains("environment has PGGSSENCMODE=\"require\""), "{refusal}");
    let environment = [("PGSSLNEGOTIATION", "postgres"), ("PGSSLMINPROTOCOLVERSION", "TLSv1.2")];
    assert!(parse_in("postgres://db", &environment).is_ok());
    for (variable, value) in [("PGSSLNEGOTIATION", "direct"), ("PGSSLMINPROTOCOLVERSION", "TLSv1.3")] {
        let refusal = parse_in("postgres://db", &[(variable, value)]).unwrap_err();
        assert!(refusal.contains(&format!("environment has {variable}={value:?}")), "{refusal}");
    }
}

#[test]
fn unsupported_variables_of_the_environment_are_refused() {
    for variable in UNSUPPORTED {
        assert!(parse_in("postgres://db", &[(variable, "")]).is_ok(), "{variable} is not set");
        let refusal = parse_in("postgres://db", &[(variable, "x")]).unwrap_err();
        assert!(refusal.contains(variable) && refusal.contains("unset it"), "{refusal}");
    }
}

#[test]
fn roots_of_the_system_need_the_name_checked() {
    assert_eq!(parse("postgres://db?sslrootcert=system").tls.mode, SslMode::VerifyFull);
    let refusal = parse_in("postgres://db?sslrootcert=system&sslmode=require", &[]).unwrap_err();
    assert!(refusal.contains("sslmode=verify-full"), "{refusal}");
}

#[test]
fn every_refusal_is_one_line_that_names_the_source_and_the_valid_values() {
    let cases = [
        (
            "postgres://db?sslmode=maybe",
            "sslmode=\"maybe\"; give disable, allow, prefer, require, verify-ca, verify-full",
        ),
        ("postgres://db?target_session_attrs=standby", "give any, read-write, primary"),
        ("postgres://db?gssencmode=require", "give disable, prefer"),
        ("postgres://db?connect_timeout=-1", "connect_timeout=\"-1\"; give a whole number"),
        ("postgres://db?create_table=1", "give true, false"),
        ("postgres://db?keepalives=yes", "give 0, 1"),
        ("postgres://db?hostaddr=db", "give IP addresses"),
        ("postgres://a,b?hostaddr=::1", "2 hosts and 1 hostaddrs"),
        ("postgres://a,b,c?port=1,2", "3 hosts and 2 ports"),
        ("postgres://db:65536", "1 to 65535"),
        ("postgres://db:0", "1 to 65535"),
    ];
    for (text, expected) in cases {
        let refusal = parse_in(text, &[]).unwrap_err();
        assert!(refusal.contains(expected) && !refusal.contains('\n'), "{text}: {refusal}");
    }
    let schema = format!("postgres://db?schema={}", "x".repeat(64));
    assert!(parse_in(&schema, &[]).unwrap_err().contains("63 bytes"));
    let refusal = parse_in("postgres://db", &[("PGSSLMODE", "maybe")]).unwrap_err();
    assert!(refusal.contains("environment has PGSSLMODE=\"maybe\""), "{refusal}");
}

#[test]
fn a_password_is_never_shown() {
    for text in [
        "postgres://me:hunter2@db/x",
        "postgres://me@db/x?password=hunter2",
        "postgres://me@db/x?password=hunter2&sslmode=require&options=-c%20a.secret%3Dhunter2",
    ] {
        let url = parse(text);
        assert!(!format!("{url} {url:?}").contains("hunter2"), "{url}");
    }
    for text in ["postgres://me:hunter2/x", "postgres://me:hunter2", "postgres://me:hunter2,b@/x@db"] {
        let refusal = parse_in(text, &[]).unwrap_err();
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
}

#[test]
fn a_displayed_url_names_its_database_and_can_be_parsed_again() {
    for (text, expected) in [
        ("postgresql://me:pw@db/app", "postgres://me@db:5432/app"),
        (
            "postgres://m%40e@a,[::1]:1/a%3Fb?schema=My%20S&sslmode=require&target_session_attrs=any",
            "postgres://m%40e@a:5432,[::1]:1/a%3Fb?sslmode=require&schema=My%20S&target_session_attrs=any",
        ),
        ("postgres:///app?host=/run/pg&user=me", "postgres://me@%2Frun%2Fpg:5432/app"),
    ] {
        let url = parse(text);
        assert_eq!(url.to_string(), expected);
        assert_eq!(parse(expected), PostgresUrl { password: None, ..url });
    }
}

#[test]
fn urls_of_the_same_store_are_equal() {
    let url = parse("postgres://me:pw@db:5432/me?sslmode=prefer");
    assert_eq!(url, parse("postgresql://db?user=me&password=pw"));
    assert_ne!(url, parse("postgres://me:other@db"), "another password may be another account's");
}
