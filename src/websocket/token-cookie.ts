/**
 * The token that a browser sends of itself with the request for a WebSocket. A page can send no
 * header of its own there, and need not know a token that lies in an `HttpOnly` cookie. But
 * browsers send cookies with what any page asks for: so one counts only where the request is of a
 * page whose origin is listed, and only for a client that says in hello that it means to be known
 * by it.
 */
import { LIMITS } from "../limits.ts";

export class TokenCookie {
	readonly #name: string;
	readonly #origins: ReadonlySet<string>;

	/** `name` is the cookie's, `origins` those of the pages, such as "https://app.example". */
	constructor(name: string, origins: readonly string[]) {
		this.#name = name;
		this.#origins = new Set(origins.map((origin) => origin.toLowerCase()));
	}

	/**
	 * The token in the value of a `Cookie` header (RFC 6265, 4.2), which came with an `Origin`.
	 * Undefined: there is none, or it does not count. Neither do two: whoever can set a cookie for a
	 * neighbouring name could have slipped in the other.
	 */
	tokenOf(origin: string, cookies: string): string | undefined {
		if (!this.#origins.has(origin.toLowerCase())) return undefined;
		const prefix = `${this.#name}=`;
		const values = cookies
			.split(";")
			.map((pair) => pair.trim())
			.filter((pair) => pair.startsWith(prefix))
			.map((pair) => pair.slice(prefix.length));
		const [token = ""] = values;
		const counts = values.length === 1 && token !== "" && token.length <= LIMITS.credentialBytesMax;
		return counts ? token : undefined;
	}
}
