//! What a reload says that it has changed, and what it leaves alone.

use std::fs;

use super::support::process::{free_port, wait_until};
use super::support::site::Site;
use super::{NEWSGROUP, WITHIN, figures, run};

#[test]
fn a_reload_names_what_it_has_changed_and_disturbs_nobody_else() {
    let mut site = Site::init("a.example", &[NEWSGROUP]);
    let mut other = Site::init("b.example", &[NEWSGROUP]);
    other.feedd(&["peer", "add"], &["a", "--identity", "a.example", "--accept-from", "127.0.0.1"]);
    other.start();
    site.peer_with(&other);
    site.peer_with_port("c.example", free_port());
    site.start();
    let since = || figures(&site, "b")["out"]["since_ms"].as_i64();
    assert!(wait_until(WITHIN, || since().is_some()));
    let before = since();
    assert_eq!(site.feedd(&["reload"], &[]).trim(), "reloaded; no key has changed");

    let peers = site.dir().join("peers.toml");
    let good = fs::read_to_string(&peers).unwrap();
    // The block of c is the last one.
    fs::write(&peers, format!("{good}\nwindow = 7\n[[peer]]\nname = \"d\"\naccept_from = [\"192.0.2.1\"]\n"))
        .unwrap();
    let config = fs::read_to_string(site.config()).unwrap();
    fs::write(site.config(), format!("cutoff_days = 9\n{}", config.replace("cutoff_days", "# cutoff_days")))
        .unwrap();
    let told = site.feedd(&["reload"], &[]);
    for line in ["peers added: d", "peer c changed: window", "changed, and needs a restart: cutoff_days"] {
        assert!(told.lines().any(|told| told.trim() == line), "no {line:?} in {told}");
    }
    assert_eq!(since(), before, "b has not changed: its connection stays");
    assert!(site.log().contains("reloaded: peer c changed: window"), "{}", site.log());

    fs::write(&peers, format!("{good}\nwindow = \"many\"\n")).unwrap();
    let refused = run(&site, &["reload"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("the old config stays in force"), "{why}");
    assert!(why.contains("peers.toml:") && why.contains("window"), "{why}");
    fs::write(&peers, good).unwrap();
    assert_eq!(since(), before);
    assert_eq!(figures(&site, "d")["peer"], "d", "what was in force before stays");
}
