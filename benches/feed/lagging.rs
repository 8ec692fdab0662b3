pub fn measure(_quick: bool) -> Result<(), String> {
    Ok(())
}
