//! From stored content to the form that a checkout has.
//!
//! Invariant: attributes come from the tree that is checked out, never from a folder that is only
//! half filled, and filter programs from the user's configuration alone.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use gix::attrs::StateRef;
use gix::attrs::search::Outcome;
use gix::bstr::{BStr, BString, ByteSlice};
use gix::filter::plumbing::eol::{AutoCrlf, Configuration, Mode as EndOfLine};
use gix::filter::plumbing::pipeline::convert::to_worktree;
use gix::filter::plumbing::{Driver, Pipeline, driver::apply::Delay};
use gix::objs::FindExt;
use gix::worktree::Stack;
use gix::worktree::stack::state::{attributes, ignore};

use crate::git::ObjectId;
use crate::git::filter::{FilterError, chain, is_trusted};
use crate::git::index::Folder;
use crate::git::repo::Repo;

/// How the file in a checkout differs from what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// In no way.
    Stored,
    /// At most in line ends that it brought along and git takes away, so not at all if it has the
    /// same size.
    Lines,
    /// In a way that only the conversion knows.
    Converted,
}

/// The attributes of a tree, as a list of its `.gitattributes`; cheap to share.
pub(super) struct Attributes {
    files: Vec<(BString, ObjectId)>,
    /// The files outside the tree that add to them.
    global: Vec<PathBuf>,
    is_plain: bool,
}

/// One thread's way of content out of the object database.
pub(super) struct Smudge<'a> {
    gix: gix::Repository,
    attributes: &'a Attributes,
    stack: Stack,
    pipeline: Pipeline,
    drivers: Vec<Driver>,
    target: PathBuf,
    /// What line ends become without any attribute, and with one that only says "text".
    lines: (Form, Form),
    outcome: Outcome,
    blob: Vec<u8>,
}

impl Attributes {
    /// Collects what says how the files of `root` are checked out.
    ///
    /// # Errors
    /// The configuration cannot be read.
    pub(super) fn of(repo: &Repo, root: &Folder) -> io::Result<Self> {
        let mut paths = Vec::new();
        root.named(BStr::new(".gitattributes"), &mut BString::default(), &mut paths);
        let mut files: Vec<_> = paths
            .into_iter()
            .filter_map(|path| match root.find(path.as_bstr()) {
                crate::git::index::Found::File(file) => Some((path, file.id)),
                _ => None,
            })
            .collect();
        files.sort();
        let mut global = repo.gix().attribute_global_paths().map_err(io::Error::other)?;
        global.push(repo.common_dir().join("info/attributes"));
        global.retain(|path| path.exists());
        let config = repo.gix().config_snapshot();
        let is_plain =
            files.is_empty() && global.is_empty() && config.string("core.autocrlf").is_none();
        Ok(Self { files, global, is_plain })
    }

    /// Whether the files should be made by git itself: for a long-running filter, which git asks
    /// for many files at a time, so that it can fetch them together; and for `ident`, which gix
    /// 0.90 expands to `$Id: …$`, without git's space at the end.
    ///
    /// # Errors
    /// A `.gitattributes` cannot be read.
    pub(super) fn want_git(&self, repo: &Repo) -> io::Result<bool> {
        if self.is_plain {
            return Ok(false);
        }
        let options = gix::filter::Pipeline::options(repo.gix()).map_err(io::Error::other)?;
        let with_process = options.drivers.iter().filter(|driver| driver.process.is_some());
        let wanted: Vec<_> =
            with_process.map(|driver| format!("filter={}", driver.name).into_bytes()).collect();
        let has_one = |text: &[u8]| {
            let mut words = text.split(u8::is_ascii_whitespace);
            words.any(|word| word == b"ident" || wanted.iter().any(|wanted| word == *wanted))
        };
        let mut blob = Vec::new();
        for (_, id) in &self.files {
            let found = repo.gix().objects.find_blob(id, &mut blob).map_err(io::Error::other)?;
            if has_one(found.data) {
                return Ok(true);
            }
        }
        Ok(self.global.iter().any(|path| fs_err::read(path).is_ok_and(|text| has_one(&text))))
    }
}

impl<'a> Smudge<'a> {
    /// The user's filters, for a checkout at `target`.
    ///
    /// # Errors
    /// The configuration makes no sense.
    pub(super) fn open(repo: &Repo, attributes: &'a Attributes, target: &Path) -> io::Result<Self> {
        let gix = repo.gix().clone();
        let state = gix
            .attributes(
                &gix::index::State::new(gix.object_hash()),
                attributes::Source::IdMapping,
                ignore::Source::IdMapping,
                None,
            )
            .map_err(io::Error::other)?
            .detach()
            .state()
            .clone();
        let case = gix::glob::pattern::Case::Sensitive;
        let stack = Stack::new(target, state, case, Vec::new(), attributes.files.clone());
        let options = gix::filter::Pipeline::options(&gix).map_err(io::Error::other)?;
        let drivers = options.drivers.clone();
        let lines = match options.eol_config {
            Configuration { auto_crlf: AutoCrlf::Enabled, .. } => {
                (Form::Converted, Form::Converted)
            }
            Configuration { auto_crlf: AutoCrlf::Input, .. } => (Form::Lines, Form::Lines),
            Configuration { eol: Some(EndOfLine::CrLf), .. } => (Form::Stored, Form::Converted),
            Configuration { .. } => (Form::Stored, Form::Lines),
        };
        let mut context = gix.command_context().map_err(io::Error::other)?;
        context.worktree_dir = Some(target.to_owned());
        let pipeline = Pipeline::new(context, gix.object_hash(), options);
        let mut outcome = Outcome::default();
        let names = ["filter", "ident", "working-tree-encoding", "text", "eol", "crlf"];
        outcome.initialize_with_selection(&Default::default(), names);
        let blob = Vec::new();
        let target = target.to_owned();
        Ok(Self { gix, attributes, stack, pipeline, drivers, target, lines, outcome, blob })
    }

    /// How the file at `path` will differ from what is stored.
    ///
    /// # Errors
    /// A filter that must be there cannot produce files.
    pub(super) fn form(&mut self, path: &BStr) -> Result<Form, FilterError> {
        if self.attributes.is_plain {
            return Ok(Form::Stored);
        }
        let entry = self.stack.at_entry(path, None, &self.gix.objects)?;
        self.outcome.reset();
        entry.matching_attributes(&mut self.outcome);
        let mut form = self.lines.0;
        for found in self.outcome.iter_selected() {
            let name = found.assignment.name.as_str();
            match (name, found.assignment.state) {
                (_, StateRef::Unspecified) => {}
                ("filter", StateRef::Value(driver)) => {
                    let driver = driver.as_bstr();
                    match self.drivers.iter().find(|known| known.name == driver) {
                        Some(known) if known.smudge.is_some() || known.process.is_some() => {
                            is_trusted(known, &self.target)?;
                            return Ok(Form::Converted);
                        }
                        Some(known) if known.required => {
                            return Err(FilterError::Missing(driver.to_string()));
                        }
                        _ => {}
                    }
                }
                ("filter", _) | (_, StateRef::Unset) => {}
                ("ident" | "working-tree-encoding", _) => return Ok(Form::Converted),
                ("eol", StateRef::Value(value)) if value.as_bstr() == "crlf" => {
                    return Ok(Form::Converted);
                }
                _ => form = self.lines.1,
            }
        }
        Ok(form)
    }

    /// The size of a stored blob.
    ///
    /// # Errors
    /// It is missing.
    pub(super) fn size(&self, id: ObjectId) -> io::Result<u64> {
        Ok(self.gix.find_header(id).map_err(io::Error::other)?.size())
    }

    /// A blob as it is stored.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub(super) fn stored(&mut self, id: ObjectId) -> io::Result<&[u8]> {
        let found = self.gix.objects.find_blob(&id, &mut self.blob).map_err(io::Error::other)?;
        Ok(found.data)
    }

    /// A blob as the file at `path` is to hold it.
    ///
    /// # Errors
    /// It is missing or damaged, or a filter that must succeed fails.
    pub(super) fn checked_out(
        &mut self,
        path: &BStr,
        id: ObjectId,
    ) -> Result<Vec<u8>, FilterError> {
        let found = self.gix.objects.find_blob(&id, &mut self.blob).map_err(io::Error::other)?;
        if self.attributes.is_plain {
            return Ok(found.data.to_vec());
        }
        let entry = self.stack.at_entry(path, None, &self.gix.objects)?;
        let options =
            to_worktree::Options { can_delay: Delay::Forbid, ..to_worktree::Options::default() };
        let mut outcome = self
            .pipeline
            .convert_to_worktree(
                found.data,
                path,
                &mut |_, attributes| {
                    entry.matching_attributes(attributes);
                },
                options,
            )
            .map_err(|error| FilterError::Failed(chain(&error)))?;
        let mut bytes = Vec::new();
        outcome.read_to_end(&mut bytes).map_err(|error| FilterError::Failed(chain(&error)))?;
        Ok(bytes)
    }
}
