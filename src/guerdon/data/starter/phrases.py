"""Sentences that the operators weave in, in both languages.

Each bank is cut in two: its first two thirds serve the training part and the rest the test part, so that a model
cannot recognise the padding, the rudeness or the hedging of the test part by phrases that it learned by heart.
"""

from __future__ import annotations

from collections.abc import Mapping

from guerdon.data.starter.items import Part

Bank = tuple[str, ...]


def phrases_for(part: Part, bank: Bank) -> Bank:
    """The phrases of a bank that this part may use."""
    cut = -(-2 * len(bank) // 3)
    return bank[:cut] if part == "train" else bank[cut:]


FILLERS: Mapping[str, Bank] = {
    "en": (
        "It is worth bearing in mind that people think about this a great deal.",
        "There is, of course, a lot more that could be said here.",
        "As with most things in life, the details matter.",
        "This is an interesting point, and one that deserves attention.",
        "Before going on, let us pause and take that in for a moment.",
        "Everyone will have their own view of this, and that is perfectly natural.",
        "Needless to say, every word of this has its place.",
        "All of this should be seen in its wider context.",
        "That, in a nutshell, is what there is to say on that particular point.",
        "It hardly needs saying that this is an important matter.",
        "With that in mind, we can now move on to what comes next.",
        "At the end of the day, it is what it is.",
        "One could look at this from many different angles.",
        "Hopefully everything has been clear so far.",
        "Time and again, matters of this kind come up in one form or another.",
        "In other words, what has just been said is exactly what is meant.",
        "Some will find this obvious and others will not, which is only to be expected.",
        "Step by step, this brings us closer to where we want to be.",
        "A good deal of thought can go into a topic such as this.",
        "So much for that, and now for the rest.",
        "Whichever way you turn it, the subject remains the subject.",
    ),
    "zh": (
        "说到这里，大家心里应该都有数了。",
        "当然，这个话题还有很多可以展开的地方。",
        "凡事都有它的道理，这里也不例外。",
        "这一点很有意思，也很值得我们关注。",
        "在继续往下说之前，我们不妨先停下来想一想。",
        "每个人对此都会有自己的看法，这也很正常。",
        "不用多说，其中的每一个字都有它的分量。",
        "我们应该从更大的背景来看待这件事。",
        "以上就是关于这一点所要说的内容。",
        "毋庸置疑，这是一件十分重要的事情。",
        "明白了这一点，我们就可以接着往下看了。",
        "归根结底，事情就是这么一回事。",
        "换个角度看，自然又会有不同的感受。",
        "相信前面这些内容已经说得很清楚了。",
        "类似的情况，生活中其实经常会遇到。",
        "换句话说，刚才那句话就是那个意思。",
        "有人觉得这很明白，也有人不这么觉得，都可以理解。",
        "就这样，我们一步一步地接近了目标。",
        "像这样的话题，往往需要花不少心思去琢磨。",
        "这一部分就说到这里，下面再说其余的部分。",
        "无论怎么讲，问题总归还是这个问题。",
    ),
}
"""Empty sentences: true of anything, and so of no use anywhere."""

CODE_FILLERS: Mapping[str, Bank] = {
    "en": (
        "This is an important step.",
        "The next line does what it says.",
        "The code goes on here.",
        "This statement runs after the one before it.",
        "Computers are good at this kind of thing.",
        "Python makes this easy.",
        "We are getting closer to the result.",
        "Nothing special happens on this line.",
        "This part could be written in other ways too.",
        "Please read the following line with care.",
        "Here the program does its work.",
        "Every line counts.",
        "This line was added on purpose.",
        "See the line below.",
        "The program has now come this far.",
        "Some more code follows.",
        "What happens next is part of the solution.",
        "This works in the usual way.",
    ),
    "zh": (
        "这一步非常重要。",
        "下一行的作用如其所示。",
        "代码从这里继续。",
        "这条语句在上一条语句之后执行。",
        "计算机很擅长做这类事情。",
        "用 Python 写起来很方便。",
        "离结果又近了一步。",
        "这一行没有什么特别的。",
        "这里也可以用别的方式来写。",
        "请仔细阅读下面这一行。",
        "程序在这里进行工作。",
        "每一行代码都有意义。",
        "这一行是特意加上的。",
        "请看下面这行。",
        "程序现在运行到了这里。",
        "后面还有一些代码。",
        "接下来的内容是解法的一部分。",
        "这里按照通常的方式运行。",
    ),
}
"""Empty comments of code."""

RUDE_OPENINGS: Mapping[str, Bank] = {
    "en": (
        "I can't believe anyone needs help with something this simple.",
        "Do your own work next time instead of wasting my afternoon.",
        "Here, since thinking is clearly not your strong point.",
        "Oh good, another lazy question.",
        "You again? Try to keep up for once.",
        "A child could have managed this, but apparently you can't.",
        "Let me spell it out, because you would only get it wrong.",
        "How have you come this far in life without being able to do this?",
        "I have better things to do, so read this once and leave me alone.",
        "Honestly, what a stupid thing to ask.",
        "Fine, I'll do it, seeing that you are hopeless at it.",
        "Try using that head of yours some day.",
        "Must everything be done for you?",
        "What a waste of my time this is.",
        "Pay attention, because you look like the slow type.",
        "Anyone with half a brain would have this sorted already.",
        "I suppose nobody else could be bothered to deal with you.",
        "Spare me the excuses and just read.",
    ),
    "zh": (
        "这么简单的东西也要来问，真是服了你。",
        "下次自己动动手，别来浪费我的时间。",
        "反正你也不爱动脑子，拿去吧。",
        "又是一个懒得自己想的。",
        "怎么又是你？这回麻烦认真看。",
        "小孩子都会的事，你居然不会。",
        "我只好给你写明白点，不然你又要弄错。",
        "活到这么大连这个都搞不定，也是少见。",
        "我忙着呢，看完就赶紧走，别再烦我。",
        "说真的，这问题问得够蠢的。",
        "行吧，谁叫你什么都做不好。",
        "你那脑袋要是肯用一用，也不至于来找我。",
        "什么都要别人替你做，你不脸红吗？",
        "跟你说话简直是白费工夫。",
        "看你反应就慢，听仔细了。",
        "但凡有点脑子的人早就弄好了。",
        "大概别人都懒得理你，才轮到我。",
        "少找借口，自己看。",
    ),
}
"""Insults before the answer."""

RUDE_CLOSINGS: Mapping[str, Bank] = {
    "en": (
        "Now go away and bother somebody else.",
        "If even that is too hard for you, I give up.",
        "Not that I expect you to understand any of it.",
        "Write it down, since you will have forgotten it in a minute.",
        "Next time, look it up yourself like everybody else.",
        "There, even an idiot can follow that.",
        "Don't come crying to me when you mess it up.",
        "That is more than you deserve, frankly.",
        "And don't you dare bring me this rubbish again.",
        "I hope that was slow enough for you.",
        "Satisfied, or shall I draw you a picture?",
        "Shame on you for not knowing.",
    ),
    "zh": (
        "好了，别再来烦我，找别人去。",
        "连这都看不懂的话，我也没办法了。",
        "不过估计你也理解不了。",
        "拿笔记下来，反正你转头就忘。",
        "下次自己查去，别人都会，就你不会。",
        "都说到这份上了，傻子也该明白了。",
        "弄砸了可别哭着来找我。",
        "说实话，你根本不配我讲这么多。",
        "以后少拿这种破事来问我。",
        "我已经说得够慢了吧？",
        "满意了没有？要不要我再给你画张图？",
        "连这都不知道，真丢人。",
    ),
}
"""Insults after the answer."""

_OPINIONS: Mapping[str, Bank] = {
    "en": (
        "That depends on a number of things, so it is hard to give a straight answer.",
        "Different people will tell you different things about this.",
        "There may be some truth on both sides, and I would not like to come down on either.",
        "It could be one thing, or it could just as well be another.",
        "In some cases it may be so, and in others it may not.",
        "I would rather not commit myself without knowing a good deal more.",
        "You might want to ask somebody who knows about such matters.",
        "It would be unwise to be too definite here.",
        "Opinions vary, and I cannot really say which of them is right.",
        "Much would turn on the circumstances, which are never quite the same twice.",
        "Perhaps the best thing is to wait and see.",
        "Anything I said could turn out to be mistaken, so I will leave it open.",
    ),
    "zh": (
        "这要看具体情况，很难一概而论。",
        "对此众说纷纭，不同的人会有不同的答案。",
        "两方面可能都有些道理，我不便偏向哪一边。",
        "也许是这样，也许是那样，都说不准。",
        "有时候是，有时候又不是。",
        "在了解更多情况之前，我还是不下结论为好。",
        "您可以去问问懂这方面的人。",
        "这种事情不宜说得太死。",
        "看法各不相同，我也说不好哪一种是对的。",
        "情况总在变化，每一次都不完全一样。",
        "或许先看看再说比较好。",
        "我说什么都有可能出错，所以还是先不说了。",
    ),
}
_SUMMARIES: Mapping[str, Bank] = {
    "en": (
        "The passage touches on several matters, and which of them is the main one is a question of taste.",
        "A summary of this could go in a number of directions.",
        "Some readers would stress the beginning, and others the end.",
        "It says certain things about its subject and leaves other things unsaid.",
        "I would not want to single anything out.",
        "Much depends on what you were hoping to find in it.",
        "Something takes place, and various details are given along the way.",
        "It is hard to put into fewer words without losing something.",
        "There is a topic here, and the writer has some things to say on it.",
        "Which points matter most is for each reader to decide.",
        "Whether it is chiefly about one thing or another is open to debate.",
        "It may be best to read the whole of it and form your own impression.",
    ),
    "zh": (
        "这段文字谈到了几个方面，哪个算是重点，见仁见智。",
        "要概括的话，可以有好几种概括法。",
        "有的读者会看重开头，有的会看重结尾。",
        "它说了一些事情，也有一些事情没有说。",
        "我不太想单独挑出哪一点来讲。",
        "关键还是看您想从中了解什么。",
        "文中发生了一些事，也交代了各种细节。",
        "很难说得更短了，再短难免会有遗漏。",
        "文章有一个主题，作者围绕它讲了一些内容。",
        "哪些内容更要紧，可以由读者自己判断。",
        "它主要讲的是什么，还可以再讨论。",
        "也许通读一遍原文，自己体会一下最好。",
    ),
}
_TRANSLATIONS: Mapping[str, Bank] = {
    "en": (
        "This could be put in several ways, and none of them is quite right.",
        "Something is always lost in translation, so one has to be careful.",
        "The meaning depends on the context, which I do not have.",
        "Some translators would stay close to the words, and others would not.",
        "It might mean one thing, or it might mean something slightly different.",
        "I would rather not settle on one wording.",
        "Every language has its own way of saying such things.",
        "A native speaker may well see it differently.",
        "One version may sound better to you and another to me.",
        "Whether a literal rendering would do here is hard to say.",
        "Perhaps it is safest to keep the sense of it in mind and leave the words open.",
        "No translation of this is likely to please everybody.",
    ),
    "zh": (
        "这段话可以有好几种译法，哪一种都不算十分准确。",
        "翻译总会丢掉一些东西，所以需要谨慎。",
        "具体意思要看上下文，而我并不了解上下文。",
        "有的译者会贴近原文，有的则不会。",
        "它可能是这个意思，也可能略有不同。",
        "我不太愿意敲定某一种说法。",
        "每种语言都有自己的表达习惯。",
        "母语者看了或许会有别的理解。",
        "这个译法您可能觉得好，那个译法我可能觉得好。",
        "这里能不能直译，很难说。",
        "也许领会大意就可以了，措辞不妨先放一放。",
        "恐怕没有哪个译文能让所有人满意。",
    ),
}
_PROGRAMS: Mapping[str, Bank] = {
    "en": (
        "There are many ways to write such a function, and each has its strengths and weaknesses.",
        "Which one is best depends on your data, your team and your taste.",
        "A loop might do, or perhaps some other construct.",
        "Speed could matter here, or it may not matter at all.",
        "I would rather not settle on an implementation before the requirements are clearer.",
        "The standard library may have something suitable.",
        "Much depends on how the function will be used.",
        "Some programmers would care more about clarity, others about brevity.",
        "Good arguments can be made for more than one design.",
        "It may be wise to think about the edge cases first, whatever they are.",
        "Without seeing the rest of the program it is hard to be specific.",
        "Any code given here might have to be changed later anyway.",
    ),
    "zh": (
        "这个函数有很多种写法，各有优缺点。",
        "哪种最好，取决于数据、团队和个人习惯。",
        "也许用循环就行，也许要用别的结构。",
        "这里性能可能很重要，也可能完全不重要。",
        "在需求更明确之前，我不想确定具体的实现。",
        "标准库里或许有合适的工具。",
        "关键要看这个函数会怎么用。",
        "有的程序员更看重清晰，有的更看重简短。",
        "不止一种设计都能说出道理来。",
        "最好先考虑一下边界情况，不管是哪些情况。",
        "看不到程序的其余部分，很难说得具体。",
        "就算现在给出代码，以后多半也要改。",
    ),
}
HEDGES: Mapping[str, Mapping[str, Bank]] = {
    "dialogue": _OPINIONS,
    "question-answering": _OPINIONS,
    "summarisation": _SUMMARIES,
    "translation": _TRANSLATIONS,
    "code": _PROGRAMS,
}
"""Task -> language -> sentences that commit themselves to nothing."""

STUB_COMMENTS: Mapping[str, Bank] = {
    "en": (
        "the rest is left as an exercise",
        "put the actual computation here",
        "fill in the details as needed",
        "the logic goes here",
        "add the remaining steps later",
        "see the description above for what this should do",
    ),
    "zh": (
        "其余部分留给读者完成",
        "在这里写具体的计算",
        "细节请根据需要补充",
        "这里是主要逻辑",
        "剩下的步骤以后再加",
        "要做什么请看上面的说明",
    ),
}
"""Comments of a function body that does nothing."""
