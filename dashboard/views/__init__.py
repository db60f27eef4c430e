"""The pages: what each is asked for is validated by a form, what it shows is read by a query layer below."""
