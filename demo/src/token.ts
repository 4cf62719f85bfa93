/** The user that a JSON Web Token names, "" where it is none. Whether it is true is the relay's business. */
export function userOf(token: string): string {
  try {
    const claims = JSON.parse(atob((token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/")));
    return typeof claims.sub === "string" ? `${claims.tenant ?? ""}/${claims.sub}` : "";
  } catch {
    return "";
  }
}
