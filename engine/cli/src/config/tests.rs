//! Layers and origins (row 4.16), locations (row 4.09), and what a repository may not do.

use super::*;

fn no_flags() -> Global {
    Global {
        state_dir: None,
        database: None,
        server: None,
        color: None,
        verbose: 0,
        quiet: false,
        metrics_file: None,
    }
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn row_4_09_state_and_configuration_follow_xdg() {
    for (environment, state, config) in [
        (
            Environment::from([("HOME", "/home/u")]),
            "/home/u/.local/state/plue",
            "/home/u/.config/plue",
        ),
        (
            Environment::from([
                ("HOME", "/home/u"),
                ("XDG_STATE_HOME", "/s"),
                ("XDG_CONFIG_HOME", "/c"),
            ]),
            "/s/plue",
            "/c/plue",
        ),
        (
            Environment::from([
                ("HOME", "/home/u"),
                ("XDG_STATE_HOME", "relative"),
                ("XDG_CONFIG_HOME", ""),
            ]),
            "/home/u/.local/state/plue",
            "/home/u/.config/plue",
        ),
    ] {
        assert_eq!(environment.state_dir(), Path::new(state));
        assert_eq!(environment.config_dir().as_deref(), Some(Path::new(config)));
    }
}

#[test]
fn row_4_16_higher_layers_win_and_origins_are_named() {
    let home = tempfile::tempdir().unwrap();
    let repo = tempfile::tempdir().unwrap();
    let home_text = home.path().display().to_string();
    let user = home.path().join(".config/plue/config.toml");
    write(&user, "max_parallel = 2\nretention = \"7d\"\n[runner]\ngrace = \"1s\"\n");
    write(&repo.path().join("plue.toml"), "max_parallel = 3\n");
    let environment =
        Environment::from([("HOME", home_text.as_str()), ("PLUE_RUNNER_GRACE", "2s")]);
    let flags = Global { state_dir: Some("/elsewhere".into()), ..no_flags() };

    let loaded = Loaded::load(&flags, &environment, Some(repo.path())).unwrap();

    assert_eq!(loaded.config.max_parallel, Some(3));
    assert_eq!(loaded.origins["max_parallel"], ValueOrigin::File(repo.path().join("plue.toml")));
    assert_eq!(loaded.config.retention.as_str(), "7d");
    assert_eq!(loaded.origins["retention"], ValueOrigin::File(user));
    assert_eq!(loaded.config.runner.grace.as_str(), "2s");
    assert_eq!(loaded.origins["runner.grace"], ValueOrigin::Variable("PLUE_RUNNER_GRACE"));
    assert_eq!(loaded.config.state_dir, Path::new("/elsewhere"));
    assert_eq!(loaded.origins["state_dir"], ValueOrigin::Flag("--state-dir"));
    assert_eq!(loaded.origins["color"], ValueOrigin::Default);
}

#[test]
fn a_repository_cannot_choose_the_programs_that_run() {
    let repo = tempfile::tempdir().unwrap();
    write(&repo.path().join("plue.toml"), "[evaluator]\nbinary = \"/tmp/evil\"\n");
    let refused =
        Loaded::load(&no_flags(), &Environment::default(), Some(repo.path())).unwrap_err();
    assert_eq!(refused.exit, Exit::Usage);
    assert!(refused.diagnostics[0].message.contains("evaluator.binary"), "{refused:?}");
}

#[test]
fn unknown_keys_are_errors_with_location_and_suggestion() {
    let repo = tempfile::tempdir().unwrap();
    write(&repo.path().join("plue.toml"), "# limits\nmax_paralel = 3\n");
    let refused =
        Loaded::load(&no_flags(), &Environment::default(), Some(repo.path())).unwrap_err();
    let first = &refused.diagnostics[0];
    assert_eq!(first.span.as_ref().map(|span| (span.line, span.column)), Some((2, 1)));
    assert_eq!(first.hint.as_deref(), Some("did you mean `max_parallel`?"));
}

#[test]
fn login_rules_come_from_files_and_variables() {
    let home = tempfile::tempdir().unwrap();
    let text = home.path().display().to_string();
    let rule = "group = \"dev\"\nrole = \"reader\"\nrepo = \"acme/app\"\n";
    let file = home.path().join(".config/plue/config.toml");
    write(&file, &format!("[login]\nissuer = \"https://id.example\"\n[[login.rules]]\n{rule}"));
    let environment = Environment::from([("HOME", text.as_str())]);
    let loaded = Loaded::load(&no_flags(), &environment, None).unwrap();
    assert_eq!(loaded.config.login.rules[0].repo.as_deref(), Some("acme/app"));
    let rules = "[{subject = \"1\", role = \"admin\"}]";
    let environment = Environment::from([
        ("HOME", text.as_str()),
        ("PLUE_LOGIN_RULES", rules),
        ("PLUE_LOGIN_ALLOW_HTTP", "true"),
    ]);
    let login = Loaded::load(&no_flags(), &environment, None).unwrap().config.login;
    assert!(login.allow_http && login.rules.len() == 1 && login.rules[0].role == "admin");
    for odd in ["admin", "[1]", "[]\ntoken = \"x\"", "[{role = 1}]", "[{roles = \"admin\"}]"] {
        let environment = Environment::from([("PLUE_LOGIN_RULES", odd)]);
        assert!(Loaded::load(&no_flags(), &environment, None).is_err(), "{odd}");
    }
}

#[test]
fn a_value_of_the_wrong_type_is_refused() {
    let environment = Environment::from([("PLUE_MAX_PARALLEL", "many")]);
    assert!(Loaded::load(&no_flags(), &environment, None).is_err());
    let environment = Environment::from([("PLUE_RUNNER_GRACE", "soon")]);
    assert!(Loaded::load(&no_flags(), &environment, None).is_err());
}

#[test]
fn pools_of_pods_are_read_and_checked() {
    let load = |cluster: &str, pools: &str| {
        let home = tempfile::tempdir().unwrap();
        let text = home.path().display().to_string();
        write(&home.path().join(".config/plue/config.toml"), &format!("[kubernetes]\n{cluster}"));
        let environment =
            Environment::from([("HOME", text.as_str()), ("PLUE_POOLS_KUBERNETES", pools)]);
        Loaded::load(&no_flags(), &environment, None).map(|loaded| loaded.config)
    };
    let cluster = "namespace = \"ci\"\nowner_config_map = \"o\"\nengine_url = \"http://e\"\n";
    let with_image = format!("{cluster}runner_image = \"plue/runner:1\"\n");
    let config = load(
        &with_image,
        "[{name = \"default\", min_idle = 2, cpu = \"500m\", node_selector = {disk = \"ssd\"}, \
          tolerations = [{operator = \"Exists\"}], host_users = false}]",
    );
    let config = config.unwrap();
    let pool = &config.pools.kubernetes[0];
    assert_eq!((pool.size.min_idle, pool.size.max, pool.limits.cpu.as_str()), (2, 10, "500m"));
    assert_eq!(pool.image(&config.kubernetes), Some("plue/runner:1"));
    assert_eq!(pool.placement.node_selector["disk"], "ssd");
    assert_eq!((pool.placement.host_users, pool.cooldown().unwrap().as_secs()), (Some(false), 300));
    for (cluster, pool, expected) in [
        ("", "name = \"a\"", "needs kubernetes.namespace"),
        (cluster, "name = \"a\"", "there is no `image`"),
        (&with_image, "name = \"local\"", "a pool of the engine itself"),
        (&with_image, "name = \"Upper\"", "a name has"),
        (&with_image, "name = \"a\", min_idel = 1", "unknown key `min_idel`"),
        (&with_image, "name = \"a\", trust = \"some\"", "expected own or untrusted"),
        (&with_image, "name = \"a\", min_idle = 5, max = 4", "max is at least"),
        (&with_image, "name = \"a\", cooldown = \"soon\"", "cooldown"),
        (&with_image, "name = \"a\"}, {name = \"a\"", "another pool has this name"),
    ] {
        let refused =
            load(cluster, &format!("[{{{pool}}}]")).unwrap_err().diagnostics[0].message.clone();
        assert!(refused.contains(expected), "{pool}: {refused}");
    }
}
