//! `feedd user`: the accounts of those who read and post. The file is edited in place, and a running
//! site follows it.

use super::output::{say, say_json, table};
use super::site::Site;
use super::terminal::new_password;
use super::{ConfigFile, Failure, Report};
use crate::accounts::{self, Accounts, EditError};
use clap::Subcommand;
use serde::Serialize;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Add an account; it may log in at once
    Add(Add),
    /// Give an account another password
    Passwd(Passwd),
    /// Remove an account; it cannot log in any more
    Remove(Named),
    /// List the accounts and their groups
    List(Report),
}

#[derive(clap::Args)]
struct Named {
    /// The account
    name: String,
    #[command(flatten)]
    site: ConfigFile,
}

#[derive(clap::Args)]
struct Passwd {
    #[command(flatten)]
    named: Named,
    /// Read the password from stdin, one line, and do not ask for it on the terminal
    #[arg(long)]
    password_stdin: bool,
}

#[derive(clap::Args)]
struct Add {
    #[command(flatten)]
    named: Named,
    /// A group it is in, for the rules of feedd.toml; may be repeated
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// Read the password from stdin, one line, and do not ask for it on the terminal
    #[arg(long)]
    password_stdin: bool,
    /// No password fits: only a client certificate logs in to it
    #[arg(long, conflicts_with = "password_stdin")]
    no_password: bool,
}

/// An account as it is shown.
#[derive(Serialize)]
struct Row {
    name: String,
    groups: Vec<String>,
    password: bool,
}

pub(super) fn user(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.act {
        Act::Add(add) => self::add(add),
        Act::Passwd(passwd) => self::passwd(passwd),
        Act::Remove(named) => remove(named),
        Act::List(report) => list(report),
    }
}

/// The site, which must have a config: accounts are for one that somebody has made.
fn load(file: &ConfigFile) -> Result<Site, Failure> {
    let site = Site::load(file)?;
    if site.path.is_none() {
        return Err(Failure::because(
            "a site of built-in defaults has no accounts; make a site with `feedd init` or name one with -c",
        ));
    }
    Ok(site)
}

fn failed(error: EditError) -> Failure {
    let cure = match error {
        EditError::Exists(_) => "; `feedd user passwd` gives it another password",
        EditError::Missing(_) => "; `feedd user list` shows those there are",
        EditError::Name(..) => "; write letters, digits, \".\", \"-\", \"_\" and the like, without blanks",
        EditError::Io(..) => "",
    };
    Failure::because(format!("{error}{cure}"))
}

fn add(add: &Add) -> Result<(), Failure> {
    let site = load(&add.named.site)?;
    let of = &site.config.site;
    let name = &add.named.name;
    // Before anybody types a password for nothing.
    for name in add.group.iter().chain([name]) {
        accounts::check_name(name).map_err(|bad| failed(EditError::Name(name.clone(), bad)))?;
    }
    if read(&site)?.find(name).is_some() {
        return Err(failed(EditError::Exists(name.clone())));
    }
    let password = match add.no_password {
        true => None,
        false => Some(new_password(add.password_stdin, name)?),
    };
    accounts::add(&of.users, name, &add.group, password.as_ref()).map_err(failed)?;
    say(format!("{name} is in {}", of.users.display()))?;
    if of.tls.is_none() && !of.clear_logins {
        eprintln!(
            "feedd: nobody can log in yet: passwords are taken over TLS only, and feedd.toml has no [tls]"
        );
    }
    Ok(())
}

fn passwd(passwd: &Passwd) -> Result<(), Failure> {
    let site = load(&passwd.named.site)?;
    let name = &passwd.named.name;
    let password = new_password(passwd.password_stdin, name)?;
    accounts::set_password(&site.config.site.users, name, &password).map_err(failed)?;
    say(format!("{name} has a new password"))
}

fn remove(named: &Named) -> Result<(), Failure> {
    let site = load(&named.site)?;
    accounts::remove(&site.config.site.users, &named.name).map_err(failed)?;
    say(format!("{} is removed", named.name))
}

fn read(site: &Site) -> Result<Accounts, Failure> {
    let path = &site.config.site.users;
    Accounts::read(path).map_err(|error| Failure::because(format!("{}: {error}", path.display())))
}

fn list(report: &Report) -> Result<(), Failure> {
    let site = load(&report.site)?;
    let accounts = read(&site)?;
    let path = site.config.site.users.display();
    for bad in accounts.bad_lines() {
        eprintln!("feedd: {path}:{}: {}; {}", bad.line, bad.what, bad.cure);
    }
    let rows: Vec<Row> = accounts
        .sorted()
        .iter()
        .map(|account| Row {
            name: account.name.clone(),
            groups: account.groups.clone(),
            password: account.has_password(),
        })
        .collect();
    if report.json {
        return say_json(&rows);
    }
    let logs_in_by = |password| if password { "password" } else { "certificate" };
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| vec![row.name, row.groups.join(" "), logs_in_by(row.password).to_owned()])
        .collect();
    say(table(&["account", "groups", "logs in by"], &rows))
}
