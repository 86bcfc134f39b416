# Both native parts, for node-gyp. native/install.mjs runs it in a clone; a packed tarball does not carry it.
{
	"targets": [
		{
			# What this machine can do at best, measured by code other than the core.
			"target_name": "roofline",
			"sources": ["native/roofline/roofline.cc"],
			"include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
			"defines": ["NAPI_VERSION=8", "NODE_ADDON_API_CPP_EXCEPTIONS"],
			"cflags!": ["-fno-exceptions"],
			"cflags_cc!": ["-fno-exceptions", "-std=gnu++17"],
			"cflags_cc": ["-std=c++20", "-O3", "-Wall", "-Wextra", "-Werror"],
			"conditions": [
				["target_arch=='x64'", { "cflags_cc": ["-msse4.2"] }],
				["target_arch=='arm64' and OS=='linux'", { "cflags_cc": ["-march=armv8-a+crc"] }],
			],
			"xcode_settings": {
				"CLANG_CXX_LANGUAGE_STANDARD": "c++20",
				"GCC_ENABLE_CPP_EXCEPTIONS": "YES",
				"GCC_OPTIMIZATION_LEVEL": "3",
				"MACOSX_DEPLOYMENT_TARGET": "12.0",
			},
		},
		{
			# The storage core. Cargo decides what is stale, so the action names an output that never
			# exists and runs each time.
			"target_name": "core",
			"type": "none",
			"actions": [
				{
					"action_name": "cargo",
					"inputs": [],
					"outputs": ["<(PRODUCT_DIR)/cargo-decides"],
					"action": ["node", "<(module_root_dir)/native/build.mjs"],
				},
			],
		},
	],
}
