//! `cargo xtask images`: an image of each part that this workspace has, made without Docker and without a registry, and
//! beside it the list of what is in it.

mod crates;
mod layer;
mod layout;
mod libraries;
mod load;
mod part;
mod program;
mod sbom;
mod stamp;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::artifacts;
use crate::command::stdout_of;
use crate::console::{Step, say};
use crate::context::Context;
use crate::kernel_object;
use crate::metadata::{Package, Workspace};
use crate::setup::{self, Need};

use crates::Crates;
use layer::Layer;
use layout::{Archive, Image, architecture};
use libraries::Library;
use load::Lab;
use part::{Found, Present, User};
use program::Profile;
use sbom::Contents;
use stamp::Stamp;

/// The kernel programs' crate, which is in the node agent as an object.
const KERNEL_PROGRAMS: &str = "lanyard-node-agent-ebpf";

/// What a person may say.
#[derive(Clone, clap::Args)]
pub(crate) struct Arguments {
    /// Which parts: operator, authority, webhook, node-agent, broker, cli; all that are there without any
    parts: Vec<String>,
    /// Give them to each node of this lab, which is up
    #[arg(long, value_name = "LAB")]
    load: Option<u8>,
    /// With the programs of a development build, as tests use them
    #[arg(long)]
    development: bool,
    /// Seconds since 1970 that all files are of, in place of the commit's
    #[arg(long, env = "SOURCE_DATE_EPOCH", hide = true)]
    moment: Option<u64>,
}

/// `cargo xtask images`.
pub(crate) fn run(context: &Context, arguments: &Arguments) -> anyhow::Result<()> {
    let workspace = Workspace::read(context)?;
    let found = part::find(&workspace, &arguments.parts)?;
    let carries_object = |present: &Present<'_>| present.part.has_kernel_programs;
    let needs_object = arguments.development || found.present.iter().any(carries_object);
    let needs = if needs_object {
        &[Need::Build, Need::KernelPrograms][..]
    } else {
        &[Need::Build][..]
    };
    setup::ready(context, needs)?;
    let lab = arguments.load.map(|number| Lab::find(context, number));
    let lab = lab.transpose()?;
    let object = needs_object
        .then(|| kernel_object::build(context))
        .transpose()?;
    let profile = if arguments.development {
        Profile::Development
    } else {
        Profile::Release
    };
    if let (Profile::Development, Some(object)) = (profile, &object) {
        artifacts::build_programs(context, object)?;
    }
    let shared = Shared::gather(context, arguments.moment, object, profile)?;
    make_all(context, &found, &shared, lab.as_ref())
}

/// Images of the programs that a development build has just made.
pub(crate) fn of_development(context: &Context) -> anyhow::Result<()> {
    let workspace = Workspace::read(context)?;
    let found = part::find(&workspace, &[])?;
    let shared = Shared::gather(context, None, None, Profile::Development)?;
    make_all(context, &found, &shared, None)
}

/// What all images of a run have in common.
struct Shared {
    stamp: Stamp,
    compiler: String,
    object: Option<PathBuf>,
    profile: Profile,
}

impl Shared {
    fn gather(
        context: &Context,
        moment: Option<u64>,
        object: Option<PathBuf>,
        profile: Profile,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            stamp: Stamp::of(context, moment)?,
            compiler: stdout_of(Command::new("rustc").arg("--version"))?,
            object,
            profile,
        })
    }

    /// Where images are put.
    fn folder(&self, context: &Context) -> PathBuf {
        let folder = context.target().join("images");
        match self.profile {
            Profile::Release => folder,
            Profile::Development => folder.join("development"),
        }
    }
}

fn make_all(
    context: &Context,
    found: &Found<'_>,
    shared: &Shared,
    lab: Option<&Lab>,
) -> anyhow::Result<()> {
    let folder = shared.folder(context);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    for present in &found.present {
        let title = format!("image lanyard/{}", present.part.name);
        let step = Step::start(&title);
        match make(context, present, shared, lab) {
            Ok(note) => step.passed(&note),
            Err(error) => {
                step.failed("");
                return Err(error.context(title));
            }
        }
    }
    for part in &found.absent {
        let name = part.name;
        say(&format!(
            "- image lanyard/{name}: not made, for this workspace has no such part"
        ));
    }
    say(&format!("They are in {}", folder.display()));
    Ok(())
}

fn make(
    context: &Context,
    present: &Present<'_>,
    shared: &Shared,
    lab: Option<&Lab>,
) -> anyhow::Result<String> {
    let part = present.part;
    let object = shared
        .object
        .as_deref()
        .filter(|_| part.has_kernel_programs);
    let program = program::of(context, present, object, shared.profile)?;
    let mut inputs = Inputs::gather(context, present, &program)?;
    for carried in carried(context, part)? {
        let program = program::of(context, &carried.as_present(), None, shared.profile)?;
        inputs.carry(context, &carried.as_present(), &program)?;
    }
    let image = inputs.image(present, &shared.stamp)?;
    let archive = image.archive(&shared.stamp)?;
    let list = inputs.list(present, shared, &archive)?;

    let version = &present.package.version;
    let name = format!("lanyard-{}-{version}-{}", part.name, architecture());
    let folder = shared.folder(context);
    let file = folder.join(format!("{name}.oci.tar"));
    write(&file, &archive.content)?;
    write(&folder.join(format!("{name}.cdx.json")), &list)?;
    if let Some(lab) = lab {
        lab.load(context, &file)?;
    }
    let mebibytes = archive.content.len() / (1 << 20);
    let reference = &image.reference;
    Ok(format!("{reference} {}, {mebibytes} MiB", archive.digest))
}

/// A part whose program another part's image has, too.
struct Carried {
    part: &'static part::Part,
    package: Package,
}

impl Carried {
    fn as_present(&self) -> Present<'_> {
        Present {
            part: self.part,
            package: &self.package,
        }
    }
}

fn carried(context: &Context, part: &part::Part) -> anyhow::Result<Vec<Carried>> {
    if part.carries.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> = part.carries.iter().map(|name| (*name).into()).collect();
    let workspace = Workspace::read(context)?;
    let found = part::find(&workspace, &names)?;
    let present = found.present.into_iter();
    let carried = present.map(|present| Carried {
        part: present.part,
        package: present.package.clone(),
    });
    Ok(carried.collect())
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    fs::write(path, content).with_context(|| format!("write {}", path.display()))
}

/// All that an image is made of.
struct Inputs {
    program: Vec<u8>,
    /// Programs of other parts, by their paths.
    carried: Vec<(String, Vec<u8>)>,
    libraries: Vec<Library>,
    certificates: (Vec<u8>, libraries::DebianPackage),
    crates: Crates,
}

impl Inputs {
    fn gather(context: &Context, present: &Present<'_>, program: &Path) -> anyhow::Result<Self> {
        let part = present.part;
        let mut crates = crates::of(context, &present.package.name, part.has_default_features)?;
        if part.has_kernel_programs {
            crates.extend(crates::of(context, KERNEL_PROGRAMS, true)?);
        }
        Ok(Self {
            program: fs::read(program).with_context(|| format!("read {}", program.display()))?,
            carried: Vec::new(),
            libraries: libraries::of(program)?,
            certificates: libraries::certificates()?,
            crates,
        })
    }

    /// Takes another part's program in, with what it needs.
    fn carry(
        &mut self,
        context: &Context,
        present: &Present<'_>,
        program: &Path,
    ) -> anyhow::Result<()> {
        let bytes = fs::read(program).with_context(|| format!("read {}", program.display()))?;
        let path = format!("/usr/bin/{}", present.part.program);
        self.carried.push((path, bytes));
        for library in libraries::of(program)? {
            if self
                .libraries
                .iter()
                .all(|known| known.path != library.path)
            {
                self.libraries.push(library);
            }
        }
        let own = present.part.has_default_features;
        self.crates
            .extend(crates::of(context, &present.package.name, own)?);
        Ok(())
    }

    fn image(&self, present: &Present<'_>, stamp: &Stamp) -> anyhow::Result<Image> {
        let part = present.part;
        let version = &present.package.version;
        let program = format!("/usr/bin/{}", part.program);
        let label = |name: &str, value: &str| {
            (format!("org.opencontainers.image.{name}"), value.to_owned())
        };
        let source = "https://github.com/lanyard-dev/lanyard";
        Ok(Image {
            reference: format!("localhost/lanyard/{}:{version}", part.name),
            user: match part.user {
                User::Nobody => "65532:65532",
                User::Root => "0:0",
            }
            .to_owned(),
            labels: BTreeMap::from([
                label("title", &format!("lanyard/{}", part.name)),
                label("description", part.description),
                label("version", version),
                label("revision", &stamp.revision),
                label("created", &stamp.created()?),
                label("source", source),
                label("url", source),
                label("licenses", "Apache-2.0"),
            ]),
            layers: vec![
                self.system(),
                self.carried.iter().fold(
                    Layer::default().file(&program, self.program.clone(), 0o755),
                    |layer, (path, content)| layer.file(path, content.as_slice(), 0o755),
                ),
            ],
            program,
        })
    }

    /// What the program needs of a system, and nothing else: no shell, no package manager.
    fn system(&self) -> Layer {
        let users =
            "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n";
        let layer = Layer::default()
            .folder("tmp", 0o1777)
            .file("etc/passwd", users, 0o644)
            .file("etc/group", "root:x:0:\nnonroot:x:65532:\n", 0o644)
            // What stands in a pod's `/etc/hosts` comes before what a name server says.
            .file("etc/nsswitch.conf", "hosts: files dns\n", 0o644)
            .file(
                "etc/ssl/certs/ca-certificates.crt",
                self.certificates.0.as_slice(),
                0o644,
            );
        self.libraries.iter().fold(layer, |layer, library| {
            layer.file(&library.path, library.content.as_slice(), 0o755)
        })
    }

    fn list(
        &self,
        present: &Present<'_>,
        shared: &Shared,
        archive: &Archive,
    ) -> anyhow::Result<Vec<u8>> {
        let libraries = self.libraries.iter().map(|library| library.package.clone());
        let packages: BTreeSet<_> = libraries.chain([self.certificates.1.clone()]).collect();
        let document = Contents {
            image: &format!("lanyard/{}", present.part.name),
            version: &present.package.version,
            digest: &archive.digest,
            created: &shared.stamp.created()?,
            compiler: shared.compiler.trim(),
            crates: &self.crates,
            packages: &packages,
        }
        .document();
        let mut text = serde_json::to_vec_pretty(&document).context("write the list")?;
        text.push(b'\n');
        Ok(text)
    }
}
