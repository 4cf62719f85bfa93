//! Compiles `corelay.proto` with protox, so that building needs no `protoc`, and lists the demo's built files, so that
//! running needs none of them.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto/corelay.proto");
    let descriptors = protox::compile(["proto/corelay.proto"], ["proto"])?;
    prost_build::Config::new()
        .bytes(["."])
        .btree_map(["."])
        .compile_fds(descriptors)?;

    println!("cargo::rerun-if-changed=demo/dist");
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("demo/dist");
    let mut files = Vec::new();
    // Without them the relay says in words what it is.
    if root.exists() {
        list(&root, "", &mut files)?;
    }
    files.sort();
    let mut demo = String::from("const DEMO: &[File] = &[\n");
    for file in files {
        let path = root.join(&file);
        writeln!(demo, "({file:?}, include_bytes!({path:?}).as_slice()),")?;
    }
    demo += "];\n";
    fs::write(Path::new(&env::var("OUT_DIR")?).join("demo.rs"), demo)?;
    Ok(())
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
