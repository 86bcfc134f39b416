import { type Client, connect, MillraceError } from "../client/index.ts";
import { UnreachableError } from "./exit-code.ts";

/**
 * Connects to the broker with the token of MILLRACE_TOKEN, if there is one, runs `work`, and closes
 * the client whatever comes. Rejects with UnreachableError when the broker cannot be reached.
 */
export async function withClient<Result>(
	url: string,
	work: (client: Client) => Promise<Result>,
): Promise<Result> {
	const token = process.env.MILLRACE_TOKEN;
	const client = await connect(url, token === undefined || token === "" ? {} : { token }).catch(
		(error: unknown) => {
			if (!(error instanceof MillraceError) || error.code !== "CONNECTION_LOST") throw error;
			throw new UnreachableError(url, error);
		},
	);
	try {
		return await work(client);
	} finally {
		await client.close();
	}
}
