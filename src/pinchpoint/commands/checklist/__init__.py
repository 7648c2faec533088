"""`pinchpoint checklist`: up to three runs under one budget."""
