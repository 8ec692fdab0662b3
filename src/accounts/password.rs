//! Passwords and their hashes (argon2id, RFC 9106, in PHC text form). Neither is ever shown by Debug.

use crate::limits::PASSWORD_MAX;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Argon2, Params};
use std::fmt;
use std::io;

/// What the hashes of others may cost at most: KiB of memory, passes, lanes. The file is the
/// operator's, but one line of it must not stop the site.
const MEMORY_KIB_MAX: u32 = 1 << 20;
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 16;

/// A password: UTF-8 of 1 to [`PASSWORD_MAX`] octets without control characters, compared octet by
/// octet.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// Why a text is no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPassword(pub &'static str);

/// A password's hash in PHC form: `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hash(String);

impl TryFrom<String> for Password {
    type Error = BadPassword;

    fn try_from(text: String) -> Result<Self, BadPassword> {
        if text.is_empty() {
            return Err(BadPassword("a password is not empty"));
        }
        if text.len() > PASSWORD_MAX {
            return Err(BadPassword("a password has 256 octets at most: it must fit a command line"));
        }
        if text.chars().any(char::is_control) {
            return Err(BadPassword("a password has no control characters"));
        }
        Ok(Self(text))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl Password {
    /// Its hash under a new salt.
    pub(super) fn hash(&self) -> io::Result<Hash> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|error| io::Error::other(error.to_string()))?;
        self.hash_with(&Argon2::default(), &salt)
    }

    fn hash_with(&self, argon2: &Argon2<'_>, salt: &[u8]) -> io::Result<Hash> {
        let failed = |error: argon2::password_hash::Error| io::Error::other(error.to_string());
        let salt = SaltString::encode_b64(salt).map_err(failed)?;
        let hash = argon2.hash_password(self.0.as_bytes(), &salt).map_err(failed)?;
        Ok(Hash(hash.to_string()))
    }

    /// Takes as long as to compare with a hash: whether there is an account must not show in time.
    pub(super) fn spend_time(&self) {
        let mut out = [0; Params::DEFAULT_OUTPUT_LEN];
        // A salt of this length is always good; were it not, only the time would be gone.
        let _ = Argon2::default().hash_password_into(self.0.as_bytes(), &[0; 16], &mut out);
        std::hint::black_box(out);
    }
}

impl fmt::Display for BadPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl TryFrom<&str> for Hash {
    type Error = &'static str;

    fn try_from(text: &str) -> Result<Self, &'static str> {
        let hash = PasswordHash::new(text).map_err(|_| "no hash in PHC form ($argon2id$...)")?;
        if !matches!(hash.algorithm.as_str(), "argon2id" | "argon2i" | "argon2d") {
            return Err("a hash of another kind than argon2");
        }
        let params = Params::try_from(&hash).map_err(|_| "a hash with parameters that argon2 has not")?;
        let dear =
            params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX || params.p_cost() > LANES_MAX;
        if dear {
            return Err("a hash that takes more than 1 GiB, 64 passes or 16 lanes");
        }
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err("a hash without its salt or its end");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(..)")
    }
}

impl Hash {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Is it the hash of this password? The comparison takes the same time wherever they differ.
    pub(super) fn is_of(&self, password: &Password) -> bool {
        let Ok(hash) = PasswordHash::new(&self.0) else { return false };
        Argon2::default().verify_password(password.0.as_bytes(), &hash).is_ok()
    }
}

/// A hash that costs next to nothing, for tests of what is around it.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) fn cheap(password: &str) -> String {
    let params = Params::new(8, 1, 1, None).unwrap();
    let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    Password::try_from(password.to_owned()).unwrap().hash_with(&argon2, b"saltsaltsalt").unwrap().0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_password_and_its_hash() {
        let hash = password("correct horse, ünïcode").hash().unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        assert!(Hash::try_from(hash.as_str()).unwrap().is_of(&password("correct horse, ünïcode")));
        assert!(!hash.is_of(&password("correct horse, unïcode")));
        assert_ne!(hash, password("correct horse, ünïcode").hash().unwrap(), "each has its own salt");
        assert_eq!(format!("{hash:?} {:?}", password("secret")), "Hash(..) Password(..)");
    }

    #[test]
    fn knows_the_hashes_of_the_reference_implementation() {
        // The example in the README of the reference implementation (argon2i, 24 octets).
        let text = "$argon2i$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG";
        let hash = Hash::try_from(text).unwrap();
        assert!(hash.is_of(&password("password")));
        assert!(!hash.is_of(&password("passwort")));
    }

    #[test]
    fn refuses_what_is_no_password_or_no_hash() {
        let long = "a".repeat(PASSWORD_MAX + 1);
        for text in ["", "a\nb", "a\0b", &long] {
            assert!(Password::try_from(text.to_owned()).is_err(), "{text:?}");
        }
        for text in [
            "",
            "plain",
            "$1$salt$hash",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG",
            "$argon2id$v=19$m=19456,t=2000,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG",
            "$argon2id$v=19$m=8,t=0,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG",
        ] {
            assert!(Hash::try_from(text).is_err(), "{text}");
        }
    }
}
