/** A number, maybe with a unit, or that there is none. */
const NUMBER = /^(-|-?[\d.]+( [KMGT]?i?B)?)$/;

/**
 * Columns as wide as their widest cell; numbers and sizes to the right, all else to the left.
 */
export function formatTable(
	heads: readonly string[],
	rows: readonly (readonly string[])[],
): string {
	const widths = heads.map((head, column) =>
		rows.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), head.length),
	);
	const numeric = heads.map((_, column) => rows.every((row) => NUMBER.test(row[column] ?? "")));
	const line = (cells: readonly string[]) =>
		cells
			.map((cell, column) =>
				numeric[column] === true
					? cell.padStart(widths[column] ?? 0)
					: cell.padEnd(widths[column] ?? 0),
			)
			.join("  ")
			.trimEnd();
	return [heads, ...rows].map(line).join("\n");
}
