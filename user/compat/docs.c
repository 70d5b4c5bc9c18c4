// SPDX-License-Identifier: LGPL-2.1-or-later
/* Owns docs/from-criu.md. */
#include "compat/features.h"
#include "compat/front.h"

static const char intro[] =
	"# From criu to ckpt\n\n"
	"`ckpt` understands the command line of criu(8): as `ckpt criu COMMAND ...`, or as `criu COMMAND ...` through a link "
	"of that\n"
	"name. What a script does with `criu dump` and `criu restore` goes on working; this page says what becomes of each "
	"option.\n"
	"Generated from the tables in `user/compat`; do not edit.\n\n"
	"## What is different\n\n"
	"- An image is the directory `ckpt` below the images directory (`-D`): one image, with a checksum over every byte, "
	"which\n"
	"  `ckpt show`, `ckpt verify` and `ckpt diff` take. It is there when it is whole: a dump into a directory that holds "
	"an older one\n"
	"  replaces that at once, and a dump that fails leaves it. Images of CRIU are not read.\n"
	"- All that stands in the way of a dump is told at once, before anything was touched, with what to do about it.\n"
	"- Errors are in the log in the form `(seconds) Error (CODE): text`, and on standard error too. `ckpt explain CODE` "
	"explains each.\n"
	"- A restored tree is compared with its image before its first instruction runs.\n"
	"- Files without a name, file locks and connections inside of the tree need no option: they are always carried.\n"
	"- A pipe whose other side lies outside of the tree is restored as one whose other side was closed, as with criu, "
	"unless\n"
	"  `--inherit-fd` hands something over.\n"
	"- The images directory need not be safe from others, as with criu; `ckpt restore` itself would ask for `--trust`.\n"
	"- `--pidfile` may name a file that is there already.\n\n";

static void cell(struct text *t, const char *text)
{
	for (; *text; text++)
		text_addf(t, *text == '|' ? "\\|" : "%c", *text);
}

static void option_line(struct text *t, enum option_id id)
{
	static const char *const forms[] = { [FLAG] = "", [PLAIN] = "", [VALUE] = " ARG", [MAYBE] = "[=ARG]" };
	static const char *const uses[] = { [DOES] = "", [NOTHING] = "accepted, no effect: ", [REFUSED] = "refused: " };
	const struct option_row *row = option_row(id);
	if (!*row->text)
		return;
	text_adds(t, "| ");
	if (row->letter)
		text_addf(t, "`-%c`, ", row->letter);
	text_addf(t, "`--%s%s` | %s", row->name, forms[row->argument], uses[row->use]);
	cell(t, row->text);
	text_adds(t, " |\n");
}

void criu_markdown(struct text *t)
{
	const struct feature *f;
	text_adds(t, intro);
	text_adds(t, "## Commands\n\n| criu | ckpt |\n|---|---|\n");
	commands_markdown(t);
	text_adds(t, "\n## Options\n\nOptions without an argument may be taken back by `--no-NAME` where criu has it so. "
		     "An option that is not in this table is refused, with exit status 1.\n\n| criu | what becomes of it "
		     "|\n|---|---|\n");
	for (int id = 0; id < OPTION_COUNT; id++)
		option_line(t, (enum option_id)id);
	text_adds(t, "\n## Features\n\n`criu check --feature NAME` exits with 0 when the kernel has the feature and ckpt "
		     "carries what it "
		     "is for, and with 1 otherwise.\n\n| feature | carried |\n|---|---|\n");
	for (size_t i = 0; (f = feature_at(i)); i++)
		text_addf(t, "| `%s` | %s |\n", f->name, f->carried ? "yes" : f->why_not);
}
