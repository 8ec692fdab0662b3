//! What an article carries, as far as feeds tell articles apart by it.

/// Text or files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ArticleKind {
    /// For people to read; also what cannot be told.
    #[default]
    Text = 0,
    /// A file, or a part of one, in yEnc.
    Yenc = 1,
    /// A file in another encoding: uuencode, base64.
    Binary = 2,
}
