//! `feedd peer key`: the public key by which other sites know this one.

use super::output::{say, say_json};
use super::site::Site;
use super::{Failure, Report};
use crate::admin::Request;
use crate::clock;
use crate::config::{self, Config, TlsFiles};
use crate::tls::Fingerprint;
use crate::tls::client::OwnCertificate;
use crate::tls::self_signed;
use serde::Serialize;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// Prints the key. A site without a certificate gets one of its own making, and says so in its config.
pub(super) fn key(report: &Report) -> Result<(), Failure> {
    let mut site = Site::load(&report.site)?;
    let mut made = None;
    if site.config.site.tls.is_none() {
        let Some(path) = site.path.clone() else {
            return Err(Failure::because(
                "a site of built-in defaults has no key; make a site with `feedd init` or name one with -c",
            ));
        };
        make(&path, &site.config)?;
        site = Site { config: Config::read(&path).map_err(Failure::Config)?, path: Some(path.clone()) };
        let knows = match site.ask_running(&Request::Reload)? {
            Some(_) => ", and the running site knows it",
            None => "",
        };
        made = Some(format!("a certificate was made, and [tls] is in {}{knows}", path.display()));
    }
    let site = &site.config.site;
    let Some(TlsFiles { certificate, key, .. }) = &site.tls else {
        return Err(Failure::because("the certificate that was made is not in the config"));
    };
    let own = OwnCertificate::read(certificate, key).map_err(|bad| Failure::because(bad.to_string()))?;
    let fingerprint = own
        .fingerprint()
        .ok_or_else(|| Failure::because(format!("{}: its key cannot be read", certificate.display())))?;
    let command = command(site, fingerprint);
    if report.json {
        #[derive(Serialize)]
        struct Shown {
            key: String,
            command: String,
        }
        return say_json(&Shown { key: fingerprint.to_string(), command });
    }
    if let Some(made) = made {
        eprintln!("feedd: {made}");
    }
    say(format!("{fingerprint}\n\nThe other site adds this one with\n  {command}"))
}

/// What the other site's operator types. The port is what this site listens on; which address leads to
/// it from outside only its operator knows, and its identity is the best guess.
fn command(site: &config::Site, key: Fingerprint) -> String {
    let port = |addresses: &[SocketAddr]| addresses.first().map(SocketAddr::port).filter(|port| *port != 0);
    let (port, tls) = match (port(&site.listen), port(&site.listen_tls)) {
        (Some(port), _) => (port, "starttls"),
        (None, Some(port)) => (port, "implicit"),
        (None, None) => (crate::limits::PORT, "starttls"),
    };
    let identity = &site.identity;
    format!("feedd peer add {identity} --address {identity}:{port} --tls {tls} --pin {key}")
}

/// Makes a certificate beside the config and names it there.
fn make(path: &Path, config: &Config) -> Result<(), Failure> {
    let site = &config.site;
    let listen = [site.listen.as_slice(), &site.listen_tls].concat();
    let made = self_signed::make(&self_signed::names(site.identity.as_str(), &listen), clock::now())
        .map_err(Failure::Because)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let [certificate, key] = [config::CERTIFICATE, config::KEY].map(|name| folder.join(name));
    made.write(&certificate, &key).map_err(|why| {
        Failure::because(format!(
            "{why}; if that is this site's certificate, name it in [tls] of {}",
            path.display()
        ))
    })?;
    let failed = |error: std::io::Error| Failure::because(format!("{}: {error}", path.display()));
    let text = with_tls(&fs::read_to_string(path).map_err(failed)?);
    super::peer::replace(path, &text).map_err(failed)
}

/// The config with a section `[tls]`: where it stands as a comment, or else at the end.
fn with_tls(text: &str) -> String {
    let lines = [
        "[tls]".to_owned(),
        format!("certificate = \"{}\"", config::CERTIFICATE),
        format!("key = \"{}\"", config::KEY),
    ];
    if text.lines().any(|line| line.strip_prefix("# ") == Some("[tls]")) {
        let bare = |line: &str| match line.strip_prefix("# ") {
            Some(bare) if lines.iter().any(|own| own == bare) => bare.to_owned(),
            _ => line.to_owned(),
        };
        return text.lines().map(|line| bare(line) + "\n").collect();
    }
    let gap = if text.is_empty() || text.ends_with("\n\n") {
        ""
    } else if text.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    format!("{text}{gap}{}\n", lines.join("\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_added_wherever_it_is_not() {
        let shown = include_str!("../../config/feedd.toml");
        for text in [shown, "identity = \"a.example\"\n", "identity = \"a.example\"\n[limits]\nidle_s = 600"]
        {
            let site = Config::check_site(Path::new("feedd.toml"), &with_tls(text)).unwrap();
            assert_eq!(site.tls.unwrap().certificate, Path::new(config::CERTIFICATE), "{text}");
        }
    }
}
