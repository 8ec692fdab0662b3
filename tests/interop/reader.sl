% slrn's own language against a site: what a hand would do at the keyboard. What is wanted is in the
% environment; INTEROP_SAVED is the file that the article is saved in.

define complain(what)
{
   () = fputs(what + "\n", stderr);
   quit(1);
}

define read_and_post()
{
   if (0 == group_search(getenv("INTEROP_NEWSGROUP"))) complain("no such newsgroup");
   if (0 > select_group()) complain("GROUP and XOVER");
   if (0 == locate_header_by_msgid(getenv("INTEROP_READ"), 0)) complain("not in the overview");
   if (extract_article_header("Subject") != getenv("INTEROP_SUBJECT")) complain("another subject");
   () = save_current_article(getenv("INTEROP_SAVED"));
   set_input_string(getenv("INTEROP_NEWSGROUP") + "\n" + getenv("INTEROP_SUBJECT") + "\n");
   set_input_chars("y");
   call("post");
   quit(0);
}

() = register_hook("group_mode_startup_hook", "read_and_post");
