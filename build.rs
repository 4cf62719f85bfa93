//! Compiles `corelay.proto` with protox, so that building needs no `protoc`, and lists and compresses the files of the
//! pages that the relay serves, so that running needs none of them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::{env, fs, io};

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/corelay.proto");
    let descriptors = protox::compile(["proto/corelay.proto"], ["proto"])?;
    prost_build::Config::new()
        .bytes(["."])
        .btree_map(["."])
        .compile_fds(descriptors)?;

    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).to_owned();
    let out = Path::new(&env::var("OUT_DIR")?).to_owned();
    let mut assets = String::new();
    // Each with what it has from elsewhere.
    for (name, folder, others) in [
        ("DEMO", "demo/dist", &[][..]),
        (
            "DASHBOARD",
            "src/server/admin/dashboard",
            &[("icon.svg", "demo/public/assets/icon.svg")],
        ),
    ] {
        println!("cargo::rerun-if-changed={folder}");
        let folder = root.join(folder);
        let mut paths = Vec::new();
        // Without them the relay says in words what it is.
        if folder.exists() {
            list(&folder, "", &mut paths)?;
        }
        paths.sort();
        let own = paths.iter().map(|path| (path.as_str(), folder.join(path)));
        let others = others.iter().map(|(path, file)| (*path, root.join(file)));
        writeln!(assets, "pub static {name}: &[Asset] = &[")?;
        for (index, (path, plain)) in own.chain(others).enumerate() {
            println!("cargo::rerun-if-changed={}", plain.display());
            let packed = out.join(format!("{name}-{index}.gz"));
            let gzip = match compress(&plain, &packed)? {
                true => format!("Some(include_bytes!({packed:?}).as_slice())"),
                false => "None".to_owned(),
            };
            writeln!(
                assets,
                "Asset {{ path: {path:?}, plain: include_bytes!({plain:?}).as_slice(), gzip: {gzip} }},"
            )?;
        }
        assets += "];\n";
    }
    fs::write(out.join("assets.rs"), assets)?;
    Ok(())
}

/// Writes a file in gzip, where that saves at least an eighth of it.
fn compress(plain: &Path, packed: &Path) -> io::Result<bool> {
    let bytes = fs::read(plain)?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&bytes)?;
    let compressed = encoder.finish()?;
    let is_smaller = compressed.len() < bytes.len() - bytes.len() / 8;
    if is_smaller {
        fs::write(packed, compressed)?;
    }
    Ok(is_smaller)
}

/// The files below a folder by their paths, which begin with `prefix`.
fn list(folder: &Path, prefix: &str, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type()?.is_dir() {
            true => list(&entry.path(), &(name + "/"), files)?,
            false => files.push(name),
        }
    }
    Ok(())
}
