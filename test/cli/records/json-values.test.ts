import { describe, expect, test } from "vitest";

import {
	formatJson,
	InexactJsonError,
	parseExactJson,
} from "../../../src/cli/records/json-values.ts";

describe("JSON on the command line", () => {
	test("a number that JavaScript would round is refused, wherever it stands", () => {
		expect(parseExactJson('{"a":[9007199254740991]}')).toEqual({ a: [9007199254740991] });
		expect(() => parseExactJson('{"a":[9007199254740993]}')).toThrow(InexactJsonError);
		expect(() => parseExactJson("1e999")).toThrow(InexactJsonError);
		expect(parseExactJson('"9007199254740993"')).toBe("9007199254740993");
		expect(() => parseExactJson("{")).toThrow(SyntaxError);
	});

	test("what MessagePack has and JSON has not is written so that nothing is lost", () => {
		const value = new Map<unknown, unknown>([
			["a", 18446744073709551615n],
			[1, new Uint8Array([255, 0])],
			["b", [true, null, "ä\n", 1.5]],
		]);
		expect(formatJson(value)).toBe(
			'{"a":18446744073709551615,"1":"/wA=","b":[true,null,"ä\\n",1.5]}',
		);
	});
});
