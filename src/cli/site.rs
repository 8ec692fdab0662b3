//! The site that a command is about: its config, and how it is asked something whether it runs or not.

use super::{ConfigFile, Failure};
use crate::admin::{self, Request, Response};
use crate::article::NewsgroupName;
use crate::config::Config;
use crate::store::{GroupStatus, Options, Store, StoreError};
use std::path::{Path, PathBuf};

/// The config file that is taken when none is named.
const CONFIG: &str = "feedd.toml";

/// The newsgroups of a site without a config file.
const BUILT_IN_GROUPS: [&str; 2] = ["local.general", "local.test"];

/// A site by its config.
pub(super) struct Site {
    pub(super) config: Config,
    /// None: there is no file, the defaults are built in.
    pub(super) path: Option<PathBuf>,
}

impl Site {
    /// Reads the config that `file` names.
    pub(super) fn load(file: &ConfigFile) -> Result<Self, Failure> {
        let path = match &file.config {
            Some(path) => Some(path.clone()),
            None => Path::new(CONFIG).exists().then(|| PathBuf::from(CONFIG)),
        };
        let config = match &path {
            Some(path) => Config::read(path).map_err(Failure::Config)?,
            None => Config::built_in(),
        };
        Ok(Self { config, path })
    }

    pub(super) fn data(&self) -> &Path {
        &self.config.site.data
    }

    /// Asks the running site; none when it does not run.
    pub(super) fn ask_running(&self, request: &Request) -> Result<Option<Response>, Failure> {
        let answer = admin::client::ask(self.data(), request).map_err(|error| {
            Failure::because(format!("the control socket in {}: {error}", self.data().display()))
        })?;
        match answer {
            Some(Response::Failed(why)) => Err(Failure::Because(why)),
            other => Ok(other),
        }
    }

    /// Asks the running site, or else the store of the stopped one.
    pub(super) fn ask(&self, request: &Request) -> Result<Response, Failure> {
        if let Some(answer) = self.ask_running(request)? {
            return Ok(answer);
        }
        let store = self.open()?;
        let answer = admin::from_store(&store, request);
        store.close();
        match answer {
            Some(Response::Failed(why)) => Err(Failure::Because(why)),
            Some(answer) => Ok(answer),
            None => Err(self.not_running()),
        }
    }

    pub(super) fn not_running(&self) -> Failure {
        Failure::because(format!("no site runs on {}", self.data().display()))
    }

    /// Opens the store of the stopped site.
    pub(super) fn open(&self) -> Result<Store, Failure> {
        self.open_with(self.options())
    }

    /// As [`Site::open`], with options that began as [`Site::options`].
    pub(super) fn open_with(&self, options: Options) -> Result<Store, Failure> {
        self.must_exist()?;
        Store::open(options).map_err(|error| store_failure(self.data(), &error))
    }

    /// Asking after a site that is not there does not make one.
    pub(super) fn must_exist(&self) -> Result<(), Failure> {
        if self.data().exists() {
            return Ok(());
        }
        Err(Failure::because(format!(
            "{}: no site has its data here; `feedd init` makes one, and -c names one",
            self.data().display()
        )))
    }

    /// The newsgroups that are created when there is none at all.
    pub(super) fn groups(&self) -> &'static [&'static str] {
        if self.path.is_none() { &BUILT_IN_GROUPS } else { &[] }
    }

    pub(super) fn options(&self) -> Options {
        let site = &self.config.site;
        Options {
            segment_bytes: site.limits.segment_bytes,
            ..Options::new(&site.data, site.identity.as_str())
        }
    }
}

/// Creates a newsgroup whose name has been checked.
pub(super) fn create(
    store: &Store,
    name: &str,
    status: GroupStatus,
    description: &str,
) -> Result<(), StoreError> {
    let name = NewsgroupName::try_from(name)
        .map_err(|bad| StoreError::Refused(format!("\"{name}\" is no newsgroup name: {}", bad.0)))?;
    store.set_group(&name, status, description, "operator")
}

/// What a command says when the store fails.
pub(super) fn store_failure(data: &Path, error: &StoreError) -> Failure {
    Failure::because(match error {
        StoreError::Locked => format!(
            "{}: another process has the store open; stop it, or wait until it has started",
            data.display()
        ),
        StoreError::Io(path, error) => format!("{}: {error}", path.display()),
        StoreError::Corrupt(what) => {
            format!("{}: the store is damaged: {what}; `feedd verify` tells more", data.display())
        }
        StoreError::Unavailable(why) => format!("{}: the store takes no writes: {why}", data.display()),
        StoreError::Refused(why) => why.clone(),
    })
}
