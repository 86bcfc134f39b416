import { type Client, connect } from "../client/index.ts";

/**
 * Connects to the broker with the token of MILLRACE_TOKEN, if there is one, runs `work`, and closes
 * the client whatever comes. Rejects with CONNECTION_LOST when the broker cannot be reached.
 */
export async function withClient<Result>(
	url: string,
	work: (client: Client) => Promise<Result>,
): Promise<Result> {
	const token = process.env.MILLRACE_TOKEN;
	const client = await connect(url, token === undefined || token === "" ? {} : { token });
	try {
		return await work(client);
	} finally {
		await client.close();
	}
}
